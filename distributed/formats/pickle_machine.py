"""A pickle read without executing it.

Opcodes are those of ``pickletools``, protocols 0 to 5. Names become ``Global`` and are never imported; calls become
``StandIn`` and are never made; nothing of the pickle is hashed but short texts and numbers, nothing recursed into. So a
pickle can do no more here than take time and memory, and of both no more than ``MAX_OPCODES`` allow. What the values
mean is said in ``pickle_meanings``.
"""

from __future__ import annotations

import _compat_pickle
from collections.abc import Callable, Collection
from typing import Any

import torch

from distributed.errors import UnextractableError
from distributed.formats.pickle_arguments import OPCODES, PickleBytes
from distributed.formats.pickle_safety import does_more_than_hold_data, may_give_anything
from distributed.formats.pickle_values import (
    STORAGE_DTYPES,
    Global,
    StandIn,
    Storage,
    StorageView,
    is_natural,
    shown,
)
from distributed.formats.problems import unreadable, unsafe_pickle

#: A state dict has about 40 opcodes a tensor, a whole YOLO 400 000. So many take about ten seconds and a gigabyte.
MAX_OPCODES = 1 << 24

#: Longest name, of a module, class or parameter.
_LONGEST_NAME = 1024

_STOP = ord(".")

#: Opcodes that do the same.
_ALIASES = {"binput": "put", "long_binput": "put", "binget": "get", "long_binget": "get"}

#: (key in the file, elements claimed, their type) → the storage of that key.
FindStorage = Callable[[str, int, torch.dtype], Storage]


def read_pickle(
    source: PickleBytes, find_storage: FindStorage, file: str, allowed: Collection[str] | None = None
) -> object:
    """The value of one pickle, of inert parts; ``source`` is left right behind it.

    Args:
        source: its bytes.
        find_storage: called for each persistent id.
        file: name for messages.
        allowed: full names that it may refer to, and no others; None: all but those that no data needs.

    Raises:
        UnextractableError: (unsafe_pickle) it would run what no data needs; (unreadable) it is damaged.
    """
    machine = _Machine(source, find_storage, file, allowed)
    try:
        return machine.run()
    except UnextractableError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        is_at_end = source.position >= len(source.memory)
        found = "its end before its last opcode" if is_at_end else str(error)[:200]
        raise unreadable(file, "damaged or truncated pickle", found=found) from None


class _Machine:
    """A pickle machine of inert values."""

    def __init__(
        self, source: PickleBytes, find_storage: FindStorage, file: str, allowed: Collection[str] | None
    ) -> None:
        self.source, self.find_storage, self.file, self.allowed = source, find_storage, file, allowed
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        source, memory, handlers = self.source, self.source.memory, _HANDLERS
        for _ in range(MAX_OPCODES):
            code = memory[source.position]
            source.position += 1
            if code == _STOP:
                return self.stack.pop()
            if code not in handlers:
                raise ValueError(f"opcode {code:#04x}")
            argument, handle = handlers[code]
            handle(self, None if argument is None else argument(source))
        what = "the pickle is too long to be read: save the state dict alone"
        raise unreadable(self.file, what, expected=f"at most {MAX_OPCODES} opcodes")

    def _pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    # Numbers, texts, stack and memo -----------------------------------------------------------------------------------

    def op_proto(self, _: int) -> None: ...

    op_frame = op_readonly_buffer = op_proto

    def op_value(self, value: Any) -> None:
        self.stack.append(value)

    def op_none(self, _: None) -> None:
        self.stack.append(None)

    def op_newtrue(self, _: None) -> None:
        self.stack.append(True)

    def op_newfalse(self, _: None) -> None:
        self.stack.append(False)

    def op_mark(self, _: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def op_pop(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._pop_mark()

    def op_pop_mark(self, _: None) -> None:
        self._pop_mark()

    def op_dup(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def op_put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def op_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    # Containers -------------------------------------------------------------------------------------------------------

    def op_empty_tuple(self, _: None) -> None:
        self.stack.append(())

    def op_tuple(self, _: None) -> None:
        items = self._pop_mark()
        self.stack.append(tuple(items))

    def op_tuple1(self, _: None) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def op_tuple2(self, _: None) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def op_tuple3(self, _: None) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def op_empty_list(self, _: None) -> None:
        self.stack.append([])

    op_empty_set = op_empty_list  # what a set holds is all that matters here

    def op_list(self, _: None) -> None:
        items = self._pop_mark()
        self.stack.append(items)

    op_frozenset = op_list

    def op_append(self, _: None) -> None:
        self._extend([self.stack.pop()])

    def op_appends(self, _: None) -> None:
        self._extend(self._pop_mark())

    op_additems = op_appends

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, StandIn):
            target = target.elements
        if not isinstance(target, list):
            raise ValueError(f"appends to {shown(target)}")
        target.extend(items)

    def op_empty_dict(self, _: None) -> None:
        self.stack.append({})

    def op_dict(self, _: None) -> None:
        items = self._pop_mark()
        self.stack.append({})
        self._set(items)

    def op_setitem(self, _: None) -> None:
        items = self.stack[-2:]
        del self.stack[-2:]
        self._set(items)

    def op_setitems(self, _: None) -> None:
        self._set(self._pop_mark())

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, StandIn):
            target = target.entries
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError(f"sets entries of {shown(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    # Names and calls --------------------------------------------------------------------------------------------------

    def _name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str) and len(module) + len(name) < _LONGEST_NAME):
            raise ValueError(f"a name that is {shown(name)}")
        if (module, name) in _compat_pickle.NAME_MAPPING:
            module, name = _compat_pickle.NAME_MAPPING[module, name]
        else:
            module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        found = Global(module, name, f"{module}.{name}")
        if self.allowed is not None and found.full_name not in self.allowed:
            raise unsafe_pickle(self.file, f"needs {shown(found)}; nothing of it was run", found=shown(found))
        self.stack.append(found)

    def op_global(self, argument: tuple[str, str]) -> None:
        self._name(*argument)

    def op_stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(module, name)

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(arguments, tuple):
            raise ValueError(f"a call with {shown(arguments)}")
        if isinstance(function, Global):
            is_unsafe, name = does_more_than_hold_data(function), function.full_name
        elif isinstance(function, StandIn):
            is_unsafe, name = may_give_anything(function.name), function.name
        else:
            raise ValueError(f"a call of {shown(function)}")
        if is_unsafe:
            found = shown(function) if isinstance(function, Global) else f"a call of what {shown(function)} gives"
            raise unsafe_pickle(self.file, f"needs {found}; nothing of it was run", found=found)
        self.stack.append(StandIn(name, arguments))

    def op_reduce(self, _: None) -> None:
        arguments = self.stack.pop()
        self._call(self.stack.pop(), arguments)

    op_newobj = op_reduce

    def op_newobj_ex(self, _: None) -> None:
        named, arguments = self.stack.pop(), self.stack.pop()
        self._call(self.stack.pop(), (arguments, named))

    def op_obj(self, _: None) -> None:
        function, *arguments = self._pop_mark()
        self._call(function, tuple(arguments))

    def op_inst(self, argument: tuple[str, str]) -> None:
        arguments = self._pop_mark()
        self._name(*argument)
        self._call(self.stack.pop(), tuple(arguments))

    def op_ext1(self, code: int) -> None:
        found = f"copyreg extension {code}"
        raise unsafe_pickle(self.file, f"needs {found}; nothing of it was run", found=found)

    op_ext2 = op_ext4 = op_ext1

    def op_build(self, _: None) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], StandIn):
            self.stack[-1].state = state

    def op_binpersid(self, _: None) -> None:
        identity = self.stack.pop()
        if not isinstance(identity, tuple):
            raise ValueError(f"persistent id {shown(identity)} is not a storage")
        if len(identity) == 4 and identity[0] == "module":
            self.stack.append(identity[1])  # of a legacy file: (class, source file, source)
            return
        if len(identity) < 5 or identity[0] != "storage" or not isinstance(identity[2], (str, int)):
            raise ValueError("a persistent id that is not a storage")
        kind, key, elements = identity[1], shown(identity[2]), identity[4]
        dtype = STORAGE_DTYPES.get(kind.name) if isinstance(kind, Global) else None
        if dtype is None or not is_natural(elements):
            raise ValueError(f"storage {key} of type {shown(kind)} with {shown(elements)} elements")
        storage = self.find_storage(key, elements, dtype)
        first, count = 0, elements
        if len(identity) > 5 and identity[5] is not None:  # legacy files: a view, (key, offset, size)
            _, first, count = identity[5]
            if not (is_natural(first) and is_natural(count) and first + count <= elements):
                raise ValueError(f"a view of storage {key} lies outside it")
        self.stack.append(StorageView(storage, dtype, first, count))


def _key(key: Any) -> Any:
    """A key as it is where it can be a name or number; other types could take for ever to hash: they get a stand-in."""
    if isinstance(key, bytes):
        key = key.decode("utf-8", "replace")
    if isinstance(key, str):
        return key if len(key) <= _LONGEST_NAME else object()
    is_small = isinstance(key, int) and key.bit_length() < 64
    return key if is_small or key is None or isinstance(key, float) else object()


#: Opcode → how its argument is read, and what is done with it. ``persid`` and ``next_buffer`` are no
#: part of a file's pickle.
_HANDLERS: dict[int, tuple[Callable[[PickleBytes], Any] | None, Callable[[_Machine, Any], None]]] = {
    code: (argument, getattr(_Machine, f"op_{_ALIASES.get(name, name)}", _Machine.op_value))
    for code, (name, argument) in OPCODES.items()
    if name not in ("stop", "persid", "next_buffer")
}
