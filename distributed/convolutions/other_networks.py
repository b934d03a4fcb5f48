"""Networks inside a checkpoint that are not the model: adapters' factors, networks of a loss or a metric, teachers.

Told by the names that code gives them and, where one is known, by their make. But for factors, which are filters of
nothing, they are left out only beside the model: alone, such a network is what the file is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distributed.formats.base import TensorEntry
from distributed.name_patterns import NamePatterns

#: Segments of low-rank updates: PEFT, diffusers, kohya's scripts and LyCORIS.
_FACTOR = re.compile(
    r"^(lora_(a|b|e|down|up|mid|embedding_[ab]|magnitude_vector)|lora_linear_layer|\w+_lora|lora"
    r"|hada_\w+|lokr_\w+|oft_(blocks|diag|r|s)|boft_\w+|glora_\w+|vera_\w+|dora_scale|ia3_l)$",
    re.IGNORECASE,
)
#: In files of kohya's scripts and LyCORIS one of these stands before every name.
_FACTOR_FILE = re.compile(r"^(lora|lycoris|oft)_(unet|te\d?|transformer|prior)_")

_LOSS = re.compile(
    r"^(loss(es)?|loss_?(fn|func|function|net|network|module)s?|criteria|criterions?|criterion[A-Z_]\w*"
    r"|\w*_loss(es)?|\w*[A-Za-z]Loss|perceptual|percep(tual)?_?(net|network|model|vgg))$"
)
#: A loss also holds what it trains: the discriminator.
_TRAINED_IN_A_LOSS = re.compile(r"(^|_)(disc\w*|critic|net_?d)(_|\d|$)", re.IGNORECASE)
_METRIC = re.compile(r"(^|_)(fid|kid|lpips|metrics?|inception_score|frechet\w*)$", re.IGNORECASE)
_TEACHER = re.compile(r"^(\w+_)?teachers?(_(model|net|network|backbone|encoder|cnn))?$", re.IGNORECASE)

#: LPIPS (arXiv 1801.03924) weighs the features of each stage by a 1x1 convolution: ``lin0.model.1.weight`` ….
_LPIPS_STAGE = re.compile(r"^(?P<parent>.+)\.lin[0-4]\.model\.1\.weight$")
#: The Inception network of FID, ported from TensorFlow, has 1008 outputs where others have 1000.
_FID_LAST_LAYER, _FID_OUTPUTS = ".fc.weight", (1008, 2048)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Names of entries that are left out, and one sentence for each network among them."""

    names: frozenset[str]
    notes: tuple[str, ...]


def other_networks(entries: Sequence[TensorEntry], patterns: NamePatterns, *, by_name: bool) -> LeftOut:
    """What is not the model.

    Args:
        entries: the checkpoint's tensors.
        patterns: what was asked for.
        by_name: also what the names tell; False where a graph says which weights are the model's.
    """
    asked = {entry.name for entry in entries if patterns.leaves(entry.name)}
    notes = [f"left out {_some(asked)}: extract.exclude"] if asked else []
    if not by_name:
        return LeftOut(frozenset(asked), tuple(notes))
    open_to_doubt = [entry for entry in entries if entry.name not in asked and not patterns.takes(entry.name)]
    factors = {entry.name for entry in open_to_doubt if _is_factor(entry.name)}
    if factors:
        notes.append(f"left out {_some(factors)}: factors of an adapter, low-rank updates and no weights of a network")
    networks = _networks([entry for entry in open_to_doubt if entry.name not in factors])
    others = {name for names, _ in networks.values() for name in names}
    if any(len(entry.shape) >= 2 and entry.name not in asked | factors | others for entry in entries):
        notes += [
            f"left out {prefix!r} ({len(names)} tensors): {what} (extract.include={prefix}.* takes it)"
            for prefix, (names, what) in networks.items()
        ]
    else:
        others = set()
    return LeftOut(frozenset(asked | factors | others), tuple(notes))


def _is_factor(name: str) -> bool:
    segments = name.split(".")
    return _FACTOR_FILE.match(segments[0]) is not None or any(_FACTOR.match(segment) for segment in segments[1:])


def _networks(entries: Sequence[TensorEntry]) -> dict[str, tuple[list[str], str]]:
    """Prefix → (names below it, what it is), of those that have a convolution."""
    made = dict(_told_by_make(entries))
    found: dict[str, tuple[list[str], str]] = {}
    has_convolution: set[str] = set()
    for entry in entries:
        prefix, what = _told_by_name(entry.name.split(".")[:-1]) or next(
            ((parent, what) for parent, what in made.items() if entry.name.startswith(f"{parent}.")), ("", "")
        )
        if prefix:
            found.setdefault(prefix, ([], what))[0].append(entry.name)
            if len(entry.shape) == 4:
                has_convolution.add(prefix)
    return {prefix: each for prefix, each in found.items() if prefix in has_convolution}


def _told_by_name(path: Sequence[str]) -> tuple[str, str] | None:
    losses = [place for place, segment in enumerate(path) if _LOSS.match(segment)]
    if losses:
        last = losses[-1] + 1
        if any(_TRAINED_IN_A_LOSS.search(segment) for segment in path[losses[0] :]):
            return None
        return ".".join(path[:last]), "a network of the loss"
    for place, segment in enumerate(path, 1):
        if _METRIC.search(segment):
            return ".".join(path[:place]), "a network of a metric"
        if _TEACHER.match(segment):
            return ".".join(path[:place]), "a teacher"
    return None


def _told_by_make(entries: Sequence[TensorEntry]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        stage = _LPIPS_STAGE.match(entry.name)
        if stage and len(entry.shape) == 4 and entry.shape[0] == 1:
            yield stage["parent"], "LPIPS, a network of the loss or of a metric"
        elif entry.name.endswith(_FID_LAST_LAYER) and entry.shape == _FID_OUTPUTS:
            yield entry.name.removesuffix(_FID_LAST_LAYER), "the Inception network of FID"


def _some(names: set[str]) -> str:
    first = min(names)
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"
