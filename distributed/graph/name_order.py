"""The order in which data flows through layers that are known by name and shape alone.

Names are read as the tree of modules that they come from. What stands side by side in one module is ordered by what its
name says of its place (``stem`` … ``layers`` … ``head``, ``conv_in``, ``down_blocks``, ``mid_block``, ``up_blocks``,
``conv_out``, encoder before decoder), then by channels where they chain in one way only, then by number and name.
``benchmarks.bare`` measures it against traced networks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import groupby, pairwise, permutations
from typing import TypeAlias

_NUMBER = re.compile(r"(\d+)")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

#: Modules nested deeper than this are taken for one: networks are not, hostile names are.
_DEEPEST = 48

#: More modules side by side than this are not tried in every order.
_MOST_TRIED = 5


class _Place(IntEnum):
    """Where a module stands among its siblings."""

    INPUT = 0
    AROUND = 1  # reads what its siblings read
    EARLY = 2
    PLAIN = 3
    STAGE = 4
    LATE = 5
    RESAMPLED = 6
    MIDDLE = 7
    UP = 8
    LAST_STAGE = 9
    OUTPUT = 10


_WORDS: Mapping[_Place, str] = {
    _Place.INPUT: "stem in inc input inp first patch embed embedding embeddings embeds entry prestem focus preprocess",
    _Place.AROUND: "downsample shortcut skip identity",
    _Place.EARLY: "reduce qkv",
    _Place.STAGE: "layer layers stage stages block blocks denseblock transition level levels down downs encoder encode "
    "enc features body trunk backbone",
    _Place.LATE: "proj mlp ffn pwl project fuse fusion aggregation concat cat merge",
    _Place.RESAMPLED: "downsamplers upsamplers",
    _Place.MIDDLE: "quant mid middle bottleneck bottom bridge center",
    _Place.UP: "up ups decoder decode dec upconv upsample upsampler upscale upscaler enlarge neck fpn",
    _Place.LAST_STAGE: "hr refine refinement reconstruct reconstruction",
    _Place.OUTPUT: "head heads out outc output final last tail classifier fc logits pred predictor exit incre downsamp",
}
_PLACE = {word: place for place, words in _WORDS.items() for word in words.split()}

#: Lists of modules that are run in turn with the list beside them, index by index: ``resnets`` and ``attentions``.
_COMPANIONS = frozenset({"attentions", "attn", "attns", "downsample", "motion", "temporal"})

#: A module: its parts by name; a string is a weight's full name.
_Tree: TypeAlias = dict[str, "_Tree | str"]
_Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


def flow_order(shapes: _Shapes) -> list[str]:
    """The names of 4-D weights (out, in/groups, height, width) in the order of the data flow, as far as can be told."""
    tree: _Tree = {}
    for name in shapes:
        node = tree
        for segment in name.split(".", _DEEPEST)[:-1]:
            below = node.setdefault(segment, {})
            assert isinstance(below, dict)  # only keys that begin with a dot, which no segment has, are weights
            node = below
        node["." + name] = name
    return list(_walk(tree, shapes, _Place.PLAIN))


def _segment_key(segment: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key in which ``layer10`` follows ``layer9``."""
    return tuple(_number_key(part) if part.isdecimal() else (1, 0, part) for part in _NUMBER.split(segment) if part)


def _number_key(digits: str) -> tuple[int, int, str]:
    """Sorts as the number does, of however many digits: Python reads none of more than 4 300."""
    significant = digits.lstrip("0")
    return 0, len(significant), significant


def _walk(tree: _Tree, shapes: _Shapes, above: _Place) -> Iterator[str]:
    """The weights of a module in order; ``above``: its own place."""
    parts = _interleaved(tree)
    is_up = above is _Place.UP
    places = {key: _place(_segment(key), is_up) for key in parts}
    found: dict[str, list[str]] = {}
    for key, part in parts.items():
        # Plain containers pass on that they are a decoder's.
        passed = above if places[key] is _Place.STAGE or key.isdecimal() else places[key]
        found[key] = [part] if isinstance(part, str) else list(_walk(part, shapes, passed))
    _count_companions(places)
    ordered: list[str] = []
    for place, group in groupby(
        sorted(parts, key=lambda key: _sort_key(key, places[key])), key=lambda key: places[key]
    ):
        keys = list(group)
        if (is_up or place is _Place.UP) and _is_reversed(keys, found, shapes):
            keys.reverse()
        ordered += _chained(keys, found, shapes)
    for key in _with_ends_last(ordered, places, found, shapes):
        yield from found[key]


def _sort_key(key: str, place: _Place) -> tuple[object, ...]:
    segment = _segment(key)
    numbers = _NUMBER.findall(segment)
    counts = place in (_Place.STAGE, _Place.UP) and bool(numbers)
    return place, _number_key(numbers[0]) if counts else (), _is_companion(segment), _segment_key(segment)


def _segment(key: str) -> str:
    return key.rpartition(".")[2]


def _is_companion(segment: str) -> bool:
    return not _COMPANIONS.isdisjoint(_words(segment))


def _count_companions(places: dict[str, _Place]) -> None:
    """Numbered companions beside numbered stages stand with those: ``block_1, attn_1, block_2``."""
    if any(place is _Place.STAGE and _NUMBER.search(_segment(key)) for key, place in places.items()):
        for key in places:
            if _is_companion(_segment(key)) and _NUMBER.search(_segment(key)):
                places[key] = _Place.STAGE


def _with_ends_last(
    ordered: Sequence[str], places: Mapping[str, _Place], found: Mapping[str, Sequence[str]], shapes: _Shapes
) -> Sequence[str]:
    """Beside a decoder, what has no place by name and reads what the decoder gives (not the reverse) is last."""
    decoder = [key for key in ordered if places[key] is _Place.UP]
    stages = [key for key in ordered if places[key] >= _Place.STAGE]
    if not decoder:
        return ordered
    (reads, _), (_, gives) = _ends([stages[0], decoder[-1]], found, shapes)
    plain = [key for key in ordered if places[key] is _Place.PLAIN]
    ends = zip(plain, _ends(plain, found, shapes), strict=True)
    last = [key for key, (its_reads, its_gives) in ends if its_reads == gives and its_gives != reads]
    return [*(key for key in ordered if key not in last), *last]


def _words(segment: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(segment)]


def _place(segment: str, is_up: bool) -> _Place:
    """What the words say; a word of a certain place says more than one of any stage: ``up_blocks``."""
    words = _words(segment)
    told = [_PLACE[word] for word in words if word in _PLACE]
    if segment == "conv_down":
        return _Place.AROUND
    certain = [place for place in told if place is not _Place.STAGE]
    if not certain:
        return _Place.STAGE if told else _Place.PLAIN
    place = certain[-1]
    if place is _Place.OUTPUT and _Place.STAGE in told:
        return _Place.LAST_STAGE
    if place is _Place.MIDDLE and is_up:
        return _Place.EARLY  # a decoder begins with it
    return place


def _interleaved(tree: _Tree) -> _Tree:
    """A list beside its companion as one list: ``resnets.0, attentions.0, resnets.1`` …."""
    lists = {
        segment: part
        for segment, part in tree.items()
        if isinstance(part, dict) and not _NUMBER.search(segment) and all(index.isdecimal() for index in part)
    }
    companions = [segment for segment in lists if _is_companion(segment)]
    mains = [segment for segment in lists if segment not in companions and _place(segment, False) <= _Place.STAGE]
    if not companions or len(mains) != 1:
        return tree
    together = (*mains, *companions)
    merged: _Tree = {}
    for index in dict.fromkeys(index for segment in together for index in lists[segment]):
        merged[index] = {segment: lists[segment][index] for segment in together if index in lists[segment]}
    return {segment: part for segment, part in tree.items() if segment not in together} | {mains[0]: merged}


def _is_reversed(keys: Sequence[str], found: Mapping[str, Sequence[str]], shapes: _Shapes) -> bool:
    """Whether a decoder's stages are numbered from its output: channels rise where a decoder's fall, and chain back."""
    ends = _ends(keys, found, shapes)
    rises = all(a[1] <= b[1] for a, b in pairwise(ends)) and ends[0][1] < ends[-1][1]
    are_numbered = len(keys) > 2 and all(_NUMBER.search(_segment(key)) for key in keys)
    return are_numbered and rises and _links(ends[::-1]) > _links(ends)


def _chained(keys: Sequence[str], found: Mapping[str, Sequence[str]], shapes: _Shapes) -> Sequence[str]:
    """Another order, where in it more modules read what the one before gives; numbers of one name stay in order."""
    if not 2 <= len(keys) <= _MOST_TRIED or all(_NUMBER.search(_segment(key)) for key in keys):
        return keys
    ends = _ends(keys, found, shapes)
    stems = [_NUMBER.sub("#", _segment(key)) for key in keys]

    def is_fair(order: Sequence[int]) -> bool:
        return all(a < b for i, a in enumerate(order) for b in order[i + 1 :] if stems[a] == stems[b])

    orders = [order for order in permutations(range(len(keys))) if is_fair(order)]
    best = max(orders, key=lambda order: _links([ends[index] for index in order]))
    return [keys[index] for index in best]


def _ends(keys: Sequence[str], found: Mapping[str, Sequence[str]], shapes: _Shapes) -> list[tuple[int, int]]:
    """Channels that each module reads and gives, by its first and last weight."""
    return [(_inputs(shapes[found[each][0]]), shapes[found[each][-1]][0]) for each in keys]


def _links(ends: Sequence[tuple[int, int]]) -> int:
    """How many modules read as many channels as the one before gives."""
    return sum(before[1] == after[0] for before, after in pairwise(ends))


def _inputs(shape: tuple[int, ...]) -> int:
    """Channels that a convolution reads; with one a group it is taken for a depthwise one."""
    return shape[0] if shape[1] == 1 else shape[1]
