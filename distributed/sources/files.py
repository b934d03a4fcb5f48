"""Which files of a folder or repository are models, from their names alone."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

#: Suffixes of checkpoint files, the preferred first.
SUFFIXES: tuple[str, ...] = (".safetensors", ".bin", ".onnx", ".pth", ".pt", ".th", ".ckpt", ".tar")

#: Training state and other files that share a checkpoint's suffix but hold no model.
_NO_MODEL = re.compile(
    r"(optimizer|optim|scheduler|scaler|rng_state|random_states|training_args|train_args|training_state|trainer_state"
    r"|openvino_model|sentencepiece|spiece|vocab|tokenizer|merges|zero_pp_rank)[^/]*|[^/]*optim_states\.pt"
    r"|\.[^/]*|[^/]*\.incomplete",
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

_INDEX = re.compile(r".+\.(safetensors|bin)\.index(?:\.\w+)?\.json", re.IGNORECASE)

#: Of at most nine digits: more name no shard, and Python reads no number of thousands of digits.
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{3,9})-of-(?P<count>[0-9]{3,9})(?P<suffix>\.\w+)", re.DOTALL)

#: Shards looked for beyond those that are there, to name the missing ones.
_MOST_SHARDS = 10_000


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The files of one model: the entry first. ``missing`` names those that an index or a shard's number promises."""

    entry: str
    files: tuple[str, ...]
    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def suffix_of(path: str) -> str:
    """The checkpoint suffix of a path in lower case, "" if it has none."""
    lower = path.lower()
    return next((suffix for suffix in SUFFIXES if lower.endswith(suffix)), "")


def is_weight_file(path: str) -> bool:
    """Whether the name is one of a checkpoint, or of the index of a sharded one."""
    name = path.rpartition("/")[2]
    if _NO_MODEL.fullmatch(name):
        return False
    return bool(suffix_of(name)) or bool(_INDEX.fullmatch(name))


def stands_for_folder(entry: str) -> bool:
    """Whether the file's name says no more than "the model" of its folder."""
    return _THE_MODEL.fullmatch(_plain(entry.rpartition("/")[2])) is not None


def find_models(
    paths: Iterable[str],
    read_text: Callable[[str], str],
    patterns: Sequence[str] = (),
    external_data: Callable[[str], Sequence[str] | None] = lambda entry: None,
) -> list[WeightFiles]:
    """Group the files of a folder tree or repository into models, in order of their entries.

    Shards belong to their index, external data to its ONNX graph, and of several files that stand for their folder's
    model (``model.safetensors`` and ``pytorch_model.bin``) the preferred one is taken, safetensors first.

    Args:
        paths: relative paths with forward slashes.
        read_text: the content of an index file; it may raise, which passes through.
        patterns: with these (``fnmatch``, or the path itself), every weight file that one matches is a model, no file
            stands for another.
        external_data: the files that an ONNX graph says its weights are in, those that are there; None where it has
            not been looked at: they are then known by their names.
    """
    known = sorted(paths)
    candidates = [path for path in known if is_weight_file(path) and (not patterns or _matches(path, patterns))]
    models = _with_shards(candidates, set(known), read_text)
    models = _with_external_data(models, known, external_data)
    if patterns:
        return sorted(models, key=lambda each: each.entry)
    by_folder: dict[str, list[WeightFiles]] = defaultdict(list)
    result = []
    for model in models:
        if stands_for_folder(model.entry):
            by_folder[model.entry.rpartition("/")[0]].append(model)
        else:
            result.append(model)
    for same in by_folder.values():
        best, *others = sorted(same, key=lambda each: preference(each.entry))
        left_out = tuple(sorted(other.entry for other in others))
        result.append(WeightFiles(best.entry, best.files, best.missing, left_out))
    return sorted(result, key=lambda each: each.entry)


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(path == pattern or fnmatchcase(path, pattern) for pattern in patterns)


def preference(entry: str) -> tuple[int, bool, bool, bool, int, int, str]:
    """Sort key of alternatives: by format, the folder's own model first, full precision, single file before shards.

    Of names that say nothing, the shallower, shorter and alphabetically first one.
    """
    folder, _, name = entry.rpartition("/")
    plain = _plain(name)
    match = _THE_MODEL.fullmatch(plain)
    suffix = suffix_of(plain.removesuffix(".index.json"))
    rank = SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES)
    depth = folder.count("/") + 1 if folder else 0
    is_variant = match is not None and match["variant"] is not None
    return rank, match is None, is_variant, name != plain or name.endswith(".json"), depth, len(name), entry


def _plain(name: str) -> str:
    """``model-00001-of-00002.safetensors`` → ``model.safetensors``; index of a variant → index of the plain name."""
    shard = _SHARD.fullmatch(name)
    if shard is not None:
        return shard["stem"] + shard["suffix"]
    return re.sub(r"\.index\.(\w+)\.json$", r".index.json", name)


def _with_shards(candidates: Sequence[str], known: set[str], read_text: Callable[[str], str]) -> list[WeightFiles]:
    models = []
    owned: set[str] = set()
    for path in candidates:
        if path.endswith(".json"):
            shards = _shards_of_index(path, read_text(path))
            owned.update(shards)
            present = tuple(shard for shard in shards if shard in known)
            models.append(WeightFiles(path, (path, *present), tuple(s for s in shards if s not in known)))
    loose: dict[tuple[str, int, str, str], dict[int, str]] = defaultdict(dict)
    for path in candidates:
        if path in owned or path.endswith(".json"):
            continue
        shard = _SHARD.fullmatch(path)
        if shard is None:
            models.append(WeightFiles(path, (path,)))
        else:
            number = shard["number"]
            loose[shard["stem"], len(number), shard["count"], shard["suffix"]][int(number)] = path
    for (stem, width, count, suffix), there in loose.items():
        # Some count from zero. A number that the count has no room for is no shard's: such a file stands for itself.
        numbers = range(int(0 not in there), int(0 not in there) + int(count))
        models += [WeightFiles(path, (path,)) for number, path in there.items() if number not in numbers]
        present = tuple(there[number] for number in sorted(there) if number in numbers)
        absent = (number for number in numbers[:_MOST_SHARDS] if number not in there)
        missing = tuple(f"{stem}-{number:0{width}d}-of-{count}{suffix}" for number in absent)
        if present:
            models.append(WeightFiles(present[0], present, missing))
    return models


def _shards_of_index(path: str, text: str) -> list[str]:
    """Shards named by an index, relative to the same root, in the order of their first tensor's place in the file.

    An index that cannot be read names none: reading the model will say what is wrong with it.
    """
    try:
        weight_map = json.loads(text)["weight_map"]
        names = [str(name) for name in dict.fromkeys(weight_map.values())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    folder = path.rpartition("/")[0]
    return [f"{folder}/{name}" if folder else name for name in names]


def _with_external_data(
    models: Sequence[WeightFiles], known: Sequence[str], external_data: Callable[[str], Sequence[str] | None]
) -> list[WeightFiles]:
    """ONNX: add external data, which is no model of its own, unless it is a file that says by itself what is in it."""
    data: dict[str, Sequence[str]] = {}
    for model in models:
        if suffix_of(model.entry) == ".onnx":
            told = external_data(model.entry)
            data[model.entry] = _named_like(model.entry, known) if told is None else sorted(told)
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
    stem = re.escape(entry[: -len(".onnx")])
    data = re.compile(rf"{re.escape(entry)}[._](data|weights)([._-]?\d+)?|{stem}\.(data|weights)", re.IGNORECASE)
    return [path for path in known if data.fullmatch(path)]
