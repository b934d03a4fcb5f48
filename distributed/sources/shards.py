"""Which files make one model together: shards, by their index or by their numbers."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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


def plain_name(name: str) -> str:
    """``model-00001-of-00002.safetensors`` → ``model.safetensors``; index of a variant → index of the plain name."""
    shard = _SHARD.fullmatch(name)
    if shard is not None:
        return shard["stem"] + shard["suffix"]
    return re.sub(r"\.index\.(\w+)\.json$", r".index.json", name)


def with_shards(candidates: Sequence[str], known: set[str], read_text: Callable[[str], str]) -> list[WeightFiles]:
    """One model for each index, each numbered set that no index names, and each other file.

    An index whose shards are not all there, or that leaves some out, is left over from another time where a complete
    set or one file of its name lies beside it: that is the model.
    """
    files = [path for path in candidates if not path.endswith(".json")]
    complete = {plain_name(each.entry): each for each in _numbered(files) if not each.missing}
    indexed: list[WeightFiles] = []
    stale: dict[str, list[str]] = defaultdict(list)
    for path in (path for path in candidates if path.endswith(".json")):
        shards = _shards_of_index(path, read_text(path))
        missing = tuple(shard for shard in shards if shard not in known)
        name = re.sub(r"\.index(\.\w+)?\.json$", "", path)
        if name in complete and (missing or set(shards) < set(complete[name].files)):
            stale[complete[name].entry].append(path)
        else:
            present = tuple(shard for shard in shards if shard in known)
            indexed.append(WeightFiles(path, (path, *present), missing))
    owned = {shard for each in indexed for shard in each.files}
    rest = _numbered([path for path in files if path not in owned])
    return [
        *indexed,
        *(replace(each, left_out=tuple(stale[each.entry])) if each.entry in stale else each for each in rest),
    ]


def _numbered(files: Sequence[str]) -> list[WeightFiles]:
    """Files of one numbering together, the others each for itself."""
    models = []
    sets: dict[tuple[str, int, str, str], dict[int, str]] = defaultdict(dict)
    for path in files:
        shard = _SHARD.fullmatch(path)
        if shard is None:
            models.append(WeightFiles(path, (path,)))
        else:
            number = shard["number"]
            sets[shard["stem"], len(number), shard["count"], shard["suffix"]][int(number)] = path
    for (stem, width, count, suffix), there in sets.items():
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
    """Shards named by an index, relative to the same root, in the order of their first tensor's place in the file."""
    folder = path.rpartition("/")[0]
    return [f"{folder}/{name}" if folder else name for name in shards_named(text)]


def shards_named(index: str) -> tuple[str, ...]:
    """The names of files in the text of an index, each once.

    An index that cannot be read names none: reading the model will say what is wrong with it.
    """
    try:
        weight_map = json.loads(index)["weight_map"]
        return tuple(str(name) for name in dict.fromkeys(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()


def index_of(names: Sequence[str]) -> str:
    """The shortest text of an index that names these files."""
    return json.dumps({"weight_map": {name: name for name in names}})
