"""Which files of a folder or repository are models, from their names alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from distributed.sources.shards import WeightFiles, plain_name, with_shards

#: Suffixes of checkpoint files, the preferred first.
SUFFIXES: tuple[str, ...] = (".safetensors", ".bin", ".onnx", ".pth", ".pt", ".th", ".ckpt", ".tar")

#: Suffixes that some give to torch files and others to anything: on a disk the content decides.
RARE_SUFFIXES: tuple[str, ...] = (".pkl", ".t7", ".torch", ".pytorch", ".checkpoint", ".pt2")

#: Training state and other files that share a checkpoint's suffix but hold no model: by their whole name, numbers
#: aside. What only begins so (``optimized.onnx``, ``scaler_net.pth``) is a model.
_NO_MODEL = re.compile(
    r"((optimizers?|optim|(lr_)?schedulers?|(grad_)?scaler)([_-]states?)?([_-]?[0-9]+)*"
    r"|(rng|random|training|trainer|train)[_-]states?([_-]?[0-9]+)*|(training|train)[_-]args"
    r"|openvino_model|sentencepiece(\.bpe)?|spiece|vocab|tokenizer|merges)\.[^/]*"
    r"|[^/]*optim_states\.pt|\.[^/]*|[^/]*\.incomplete",
    re.IGNORECASE,
)

#: Names that stand for "the model" of their folder; files of these names in one folder are the same weights again.
_THE_MODEL = re.compile(
    r"(model|pytorch_model|diffusion_pytorch_model|open_clip_model|open_clip_pytorch_model)"
    r"(?P<variant>[._-](fp16|fp32|bf16|int8|uint8|q4|q4f16|bnb4|quantized|quint8\w*|qint8\w*|non_ema|ema|O[1-4]|optimized"
    r"|simplified))*\.(safetensors|bin|onnx|pth|pt|ckpt)(?P<index>\.index\.json)?",
    re.IGNORECASE,
)

#: What lies beside models everywhere, and holds no weights.
_DESCRIPTION = re.compile(r"\..*|.*\.(json|ya?ml|md|txt|py|ipynb|csv|png|jpe?g|svg|pdf)|LICEN[SC]E.*", re.IGNORECASE)

#: Words of a file's or folder's name that say that the weights are kept in half precision, or (second) in fewer bits.
_REDUCED = re.compile(
    r"(?<![a-z0-9])(?:(fp16|bf16|float16|bfloat16)"
    r"|(fp8|u?int[48]|q[48](?:f16)?|bnb4|nf4|awq|gptq|quanti[sz]ed|qu?int8\w*))(?![a-z0-9])",
    re.IGNORECASE,
)

_INDEX = re.compile(r".+\.(safetensors|bin)\.index(?:\.\w+)?\.json", re.IGNORECASE)


def suffix_of(path: str) -> str:
    """The checkpoint suffix of a path in lower case, "" if it has none."""
    lower = path.lower()
    return next((suffix for suffix in SUFFIXES if lower.endswith(suffix)), "")


def is_weight_file(path: str) -> bool:
    """Whether the name is one of a checkpoint, or of the index of a sharded one."""
    name = path.rpartition("/")[2]
    return not holds_no_model(name) and (bool(suffix_of(name)) or bool(_INDEX.fullmatch(name)))


def holds_no_model(name: str) -> bool:
    """Whether a file is called as training state, tokenizers and unfinished downloads are."""
    return _NO_MODEL.fullmatch(name) is not None


def stands_for_folder(entry: str) -> bool:
    """Whether the file's name says no more than "the model" of its folder."""
    return _THE_MODEL.fullmatch(plain_name(entry.rpartition("/")[2])) is not None


def find_models(
    paths: Iterable[str],
    read_text: Callable[[str], str],
    patterns: Sequence[str] = (),
    also: Iterable[str] = (),
    external_data: Callable[[str], Sequence[str] | None] = lambda entry: None,
) -> list[WeightFiles]:
    """Group the files of a folder tree or repository into models, in order of their entries.

    Shards belong to their index, external data to its ONNX graph, and of several files that stand for their folder's
    model (``model.safetensors`` and ``pytorch_model.bin``) the preferred one is taken, see ``preference``.

    Args:
        paths: relative paths with forward slashes.
        read_text: the content of an index file; it may raise, which passes through.
        patterns: with these (``fnmatch``, or the path itself), every weight file that one matches is a model, but for
            the same name in another format or in fewer bits; a file named by its whole path always is one.
        also: paths of checkpoints that no name tells.
        external_data: the files that an ONNX graph says its weights are in, those that are there; None where it has
            not been looked at: they are then known by their names.
    """
    known = sorted(paths)
    told = set(also)
    candidates = [path for path in known if path in told or _is_candidate(path, patterns)]
    models = with_shards(candidates, set(known), read_text)
    models = _with_external_data(models, known, told, external_data)
    if patterns:
        return sorted(_without_twins(models, set(patterns)), key=lambda each: each.entry)
    by_folder: dict[str, list[WeightFiles]] = defaultdict(list)
    result = []
    for model in models:
        if stands_for_folder(model.entry):
            by_folder[model.entry.rpartition("/")[0]].append(model)
        else:
            result.append(model)
    result += [best_of(same) for same in by_folder.values()]
    return sorted(result, key=lambda each: each.entry)


def best_of(same: Sequence[WeightFiles]) -> WeightFiles:
    """The preferred of the files that hold one model, complete ones first; the others become its ``left_out``."""
    best, *others = sorted(same, key=lambda each: (bool(each.missing), *preference(each.entry)))
    left_out = {path for other in others for path in (other.entry, *other.left_out)}
    return replace(best, left_out=tuple(sorted({*best.left_out, *left_out})))


def _without_twins(models: Sequence[WeightFiles], named: Container[str]) -> list[WeightFiles]:
    """Of one name in several formats and precisions the preferred one; those of ``named`` (by whole path) stay."""
    by_name: dict[tuple[str, str], list[WeightFiles]] = defaultdict(list)
    for model in models:
        folder, _, name = model.entry.rpartition("/")
        plain = plain_name(name).removesuffix(".index.json")
        stem = "" if stands_for_folder(model.entry) else _REDUCED.sub("", plain.removesuffix(suffix_of(plain)))
        by_name[folder, stem.strip("._-")].append(model)
    kept = []
    for same in by_name.values():
        asked = [model for model in same if model.entry in named]
        best = best_of(asked or same)
        # What differs in neither format nor precision is no twin: shards of several numberings, names by case.
        alike = [each for each in same if _form(each.entry) == _form(best.entry)]
        stay = [each for each in asked or alike if each.entry != best.entry]
        stayed = {path for each in stay for path in (each.entry, *each.left_out)}
        kept += [replace(best, left_out=tuple(path for path in best.left_out if path not in stayed)), *stay]
    return kept


def _form(entry: str) -> tuple[int, str]:
    """Precision and format of a file, by its name."""
    return _precision(entry), suffix_of(plain_name(entry.rpartition("/")[2]).removesuffix(".index.json"))


def _precision(entry: str) -> int:
    """0: full, as far as the path tells; 1: half; 2: fewer bits."""
    found = list(_REDUCED.finditer(entry))
    return 0 if not found else 2 if any(each[2] for each in found) else 1


def _is_candidate(path: str, patterns: Sequence[str]) -> bool:
    """By name, or because a pattern asks for its very suffix."""
    is_named = is_weight_file(path)
    suffix = PurePosixPath(path).suffix
    return (is_named and not patterns) or any(
        path == pattern or (fnmatchcase(path, pattern) and (is_named or (suffix and pattern.endswith(suffix))))
        for pattern in patterns
    )


def preference(entry: str) -> tuple[int, int, bool, bool, bool, int, int, str]:
    """Sort key of alternatives: full precision, then format, the folder's own model first, a single file before shards.

    Of names that say nothing, the shallower, shorter and alphabetically first one.
    """
    folder, _, name = entry.rpartition("/")
    plain = plain_name(name)
    match = _THE_MODEL.fullmatch(plain)
    bits, suffix = _form(entry)
    rank = SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES)
    depth = folder.count("/") + 1 if folder else 0
    is_variant = match is not None and match["variant"] is not None
    return bits, rank, match is None, is_variant, name != plain or name.endswith(".json"), depth, len(name), entry


def _with_external_data(
    models: Sequence[WeightFiles],
    known: Sequence[str],
    told: Container[str],
    external_data: Callable[[str], Sequence[str] | None],
) -> list[WeightFiles]:
    """ONNX: add external data, which is no model of its own, unless it is a file that says by itself what is in it."""
    data: dict[str, Sequence[str]] = {}
    for model in models:
        if suffix_of(model.entry) == ".onnx" or model.entry in told:  # whatever has no name may be a graph
            found = external_data(model.entry)
            data[model.entry] = _named_like(model.entry, known) if found is None else sorted(found)
    owned = {path for paths in data.values() for path in paths if suffix_of(path) not in (".safetensors", ".onnx")}
    return [
        WeightFiles(model.entry, (*model.files, *data[model.entry])) if data.get(model.entry) else model
        for model in models
        if model.entry not in owned
    ]


def may_be_external_data(path: str) -> bool:
    """Whether a file beside an ONNX graph may hold its weights: by its name neither a model nor a description."""
    return not is_weight_file(path) and not _DESCRIPTION.fullmatch(path.rpartition("/")[2])


def _named_like(entry: str, known: Sequence[str]) -> list[str]:
    """Files called as exporters call external data: ``model.onnx.data``, ``model.onnx_data_1``, ``model.data``."""
    stem = re.escape(entry[: -len(".onnx")] if suffix_of(entry) == ".onnx" else entry)
    data = re.compile(rf"{re.escape(entry)}[._](data|weights)([._-]?\d+)?|{stem}\.(data|weights)", re.IGNORECASE)
    return [path for path in known if data.fullmatch(path)]
