"""What the inert values of a pickle mean: tensors, arrays, modules and containers; all else is set aside by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from distributed.formats.pickle_arrays import array_of, bytes_of, memory_of, plain_words
from distributed.formats.pickle_tensors import TENSORS
from distributed.formats.pickle_values import StandIn, StorageView, mappings_of
from distributed.formats.pickled_tensor import PickledTensor, view_of

#: Levels of nesting followed; a module in a module takes two.
_MAX_DEPTH = 100

#: What may be copied of a pickle's parts, in bytes: one of a few bytes can ask for 2^60 names.
_MOST_COPIES = 1 << 28

#: Calls that give a mapping, a list, or no more than a plain value: nothing to remark.
_MAPPINGS = frozenset({"collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict"})
_LISTS = frozenset(
    {
        *("builtins.list", "builtins.tuple", "builtins.set", "builtins.frozenset", "collections.deque", "torch.Size"),
    }
)
_PLAIN = frozenset(
    {
        *("torch.device", "torch.serialization._get_layout", "numpy.dtype", "_codecs.encode", "builtins.bytearray"),
        *(f"torch.jit._pickle.build_{kind}list" for kind in ("int", "double", "bool")),
        *("builtins.complex", "builtins.slice", "builtins.range", "builtins.getattr", "builtins.object"),
    }
)


class Meanings:
    """Reads the values of one file.

    Args:
        storage_in: the storage that a whole torch file, given as bytes inside a pickle, holds.

    Attributes:
        modules: classes of whole modules whose parameters were read.
        set_aside: (name, number) of what has no meaning here.
    """

    def __init__(self, storage_in: Callable[[memoryview], StorageView]) -> None:
        self.modules: Counter[str] = Counter()
        self.set_aside: Counter[str] = Counter()
        self._storage_in = storage_in
        # By id; the value itself is kept, so that no id is used twice.
        self._known: dict[int, tuple[object, object]] = {}
        self._inside_module = False
        self._copied = 0
        self._storages: dict[int, StorageView] = {}

    def value(self, node: Any, depth: int = 0) -> Any:
        """What ``node`` means: a ``PickledTensor``, or nested dicts and lists of them; shared parts stay shared.

        Raises:
            ValueError: a tensor or array contradicts itself.
        """
        if not isinstance(node, (dict, list, tuple, StandIn)):
            return node
        if id(node) in self._known:
            return self._known[id(node)][1]
        if depth > _MAX_DEPTH:
            self.set_aside[f"what is nested more than {_MAX_DEPTH} levels deep"] += 1
            return None
        self._remember(node, None if isinstance(node, (tuple, StandIn)) else node)
        result = node
        if isinstance(node, dict):
            for key, value in node.items():
                node[key] = self.value(value, depth + 1)
        elif isinstance(node, list):
            node[:] = [self.value(value, depth + 1) for value in node]
        elif isinstance(node, tuple):
            result = [self.value(value, depth + 1) for value in node]
        else:
            result = self._made(node, depth)
        self._remember(node, result)
        return result

    def notes(self) -> list[str]:
        """What was read in another way, and what was set aside, one sentence each."""
        notes = []
        if self.modules:
            notes.append(f"read the parameters of whole modules ({_names(self.modules)}); their code was not run")
        if self.set_aside:
            notes.append(f"set aside, without running it: {_names(self.set_aside)}")
        return notes

    def _remember(self, node: object, result: object) -> None:
        self._known[id(node)] = node, result

    def _spend(self, *sizes: int) -> None:
        """Count parts that are about to be copied or gone through, and may be so again for another owner."""
        self._copied += 64 * sum(sizes)
        if self._copied > _MOST_COPIES:
            raise ValueError("objects that repeat each other without end")

    def _made(self, node: StandIn, depth: int) -> Any:
        if node.name in TENSORS:
            return TENSORS[node.name](node, lambda part: self.value(part, depth + 1))
        if node.name == "torch.storage._load_from_bytes" and node.arguments:
            return self._storage(node.arguments[0])
        if isinstance(node.state, tuple) and node.state and isinstance(node.state[0], StorageView):
            return view_of(*node.state[:4])  # files of 2017: torch.FloatTensor() and what set_ is given
        array = array_of(node)
        if array is not None:
            return array
        if node.name in _MAPPINGS:
            return self._mapping(node, depth)
        if node.name in _LISTS:
            given = node.arguments[0] if node.arguments and isinstance(node.arguments[0], (list, tuple)) else ()
            self._spend(len(given), len(node.elements))
            return self.value([*node.elements, *given], depth + 1)
        return None if node.name in _PLAIN else self._object(node, depth)

    def _storage(self, data: object) -> StorageView | None:
        """Of a plain pickle: a storage is a torch file of its own, as bytes."""
        content = bytes_of(data)
        if content is not None and id(data) not in self._storages:
            self._storages[id(data)] = self._storage_in(memory_of(content))
        return self._storages.get(id(data))

    def _mapping(self, node: StandIn, depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        self._remember(node, result)
        for argument in node.arguments[:2]:
            self._spend(len(argument) if isinstance(argument, (dict, list)) else 0)
            if isinstance(argument, dict):
                result |= argument
            elif isinstance(argument, list):  # protocol 0 and Python 2 give OrderedDict a list of pairs
                pairs = [pair for pair in argument if isinstance(pair, (list, tuple)) and len(pair) == 2]
                result |= {key: value for key, value in pairs if isinstance(key, (str, int))}
        result |= node.entries
        for key, value in result.items():
            result[key] = self.value(value, depth + 1)
        return result

    # Objects and modules ----------------------------------------------------------------------------------------------

    def _object(self, node: StandIn, depth: int) -> Any:
        named = [part for part in (*mappings_of(node.state), node.entries) if part]
        self._spend(1, *(map(len, named) if len(named) > 1 else ()))
        if node.name.startswith("__torch__.") and isinstance(node.state, dict):
            return self._module(node, self._script_parts(node.state, depth))
        state = _module_state(node)
        if state is not None:
            return self._module(node, self._module_parts(state, depth))
        self.set_aside[plain_words(node)] += 1
        # What an object has by name; else all that it was given. Of several mappings the later ones were set later.
        found: Any
        if len(named) > 1:
            found = {key: value for part in named for key, value in part.items()}
        else:
            found = named[0] if named else [part for part in (node.elements, node.state, node.arguments) if part]
        self._remember(node, found if named else None)
        return self.value(found, depth + 1)

    def _module(self, node: StandIn, parts: Iterator[tuple[str, Any]]) -> dict[str, PickledTensor]:
        """The state dict of a module: parameters, buffers, then those of its submodules."""
        flat: dict[str, PickledTensor] = {}
        self._remember(node, flat)
        is_outermost, self._inside_module = not self._inside_module, True
        for name, part in parts:
            inner = {name: part} if isinstance(part, PickledTensor) else {}
            if isinstance(part, dict):
                inner = {f"{name}.{key}": tensor for key, tensor in part.items() if isinstance(tensor, PickledTensor)}
            self._spend(1, len(inner), sum(map(len, inner)) // 64)
            flat |= inner
        if is_outermost:
            self._inside_module = False
            self.modules[node.name.removeprefix("__torch__.")] += 1
        return flat

    def _module_parts(self, state: dict[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
        """Of ``torch.nn.Module``: the groups that its ``state_dict()`` is made of."""
        listed = self.value(state.get("_non_persistent_buffers_set"), depth + 1)
        self._spend(len(listed) if isinstance(listed, list) else 0)
        hidden = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
        for group in ("_parameters", "_buffers", "_modules"):
            members = self.value(state[group], depth + 1) if group in state else None
            if isinstance(members, dict):
                yield from ((str(k), v) for k, v in members.items() if group != "_buffers" or k not in hidden)

    def _script_parts(self, state: dict[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
        """Of a TorchScript module: attributes, parameters and submodules side by side, some of them in lists."""
        for name, value in state.items():
            value = self.value(value, depth + 1)
            members = enumerate(value) if isinstance(value, list) else ()
            yield from [(str(name), value), *((f"{name}.{i}", member) for i, member in members)]


def _module_state(node: StandIn) -> dict[Any, Any] | None:
    """The attributes of a ``torch.nn.Module``, wherever its class has the pickle keep them.

    As state; as an argument (``torch.fx``); as ``state`` of an argument (StyleGAN's ``torch_utils.persistence``).
    """
    given = node.arguments[:4]
    places = [*mappings_of(node.state), *given, *(each.get("state") for each in given if isinstance(each, dict))]
    return next((p for p in places if isinstance(p, dict) and {"_parameters", "_modules"} <= p.keys()), None)


def _names(counts: Counter[str]) -> str:
    shown = [name[:80] + (f" ({count} times)" if count > 1 else "") for name, count in counts.most_common(5)]
    return ", ".join(shown) + (f" and {len(counts) - len(shown)} kinds more" if len(counts) > len(shown) else "")
