"""A pickle read without executing it: which types it names, and whether the sizes it claims can be true.

torch's ``weights_only`` unpickler runs no foreign code, but it believes every size: a tensor larger than its storage
makes it allocate the difference, uninitialised. This scan walks the opcodes with inert values first, so that
``torch.load`` only ever sees pickles whose every claim has been checked. The opcodes are those of ``pickletools``.
"""

from __future__ import annotations

import _compat_pickle
import pickletools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import _weights_only_unpickler

from distributed.formats.pickle_values import STORAGE_BYTES, Global, Scan, StorageClaim
from distributed.formats.problems import unreadable, unsafe_pickle

#: Opcodes that torch's ``weights_only`` unpickler knows.
_TORCH_OPCODES = frozenset(
    {
        *("PROTO", "STOP", "GLOBAL", "NEWOBJ", "REDUCE", "BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "MARK"),
        *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWFALSE", "NEWTRUE", "EMPTY_TUPLE", "EMPTY_LIST"),
        *("EMPTY_DICT", "EMPTY_SET", "BINPERSID", "BININT", "BININT1", "BININT2", "BINFLOAT", "BINGET"),
        *("LONG_BINGET", "BINPUT", "LONG_BINPUT", "BINUNICODE", "SHORT_BINSTRING", "LONG1"),
    }
)

#: A state dict's pickle has about 200 bytes per tensor; past this it is something else, and would take minutes.
MAX_PICKLE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class _Call:
    """The result of calling ``function``: inert."""

    function: str
    nbytes: int = 0


class _Opaque:
    """Any value that no check looks into."""


_OPAQUE = _Opaque()


def scan_pickle(stream: IO[bytes], file: str, file_bytes: int) -> Scan:
    """Walk one pickle from the stream's position to its STOP.

    Args:
        stream: opened file; it is left right after the pickle.
        file: name for messages.
        file_bytes: bytes of the whole file: no tensor of it can be larger.

    Raises:
        UnextractableError: (unsafe_pickle) a type is named that ``weights_only`` refuses; (unreadable) the pickle is
            damaged, or a tensor does not fit its storage.
    """
    machine = _Machine(file, file_bytes)
    try:
        machine.run(stream)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        machine.refuse_unsafe()
        raise unreadable(file, "damaged or truncated pickle", found=str(error)[:200]) from None
    machine.refuse_unsafe()
    if machine.scan.problems:
        raise machine.scan.problems[0]
    return machine.scan


class _Machine:
    """A pickle machine of inert values."""

    def __init__(self, file: str, file_bytes: int) -> None:
        self.scan = Scan()
        self.file = file
        self.file_bytes = file_bytes
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: IO[bytes]) -> None:
        for opcode, argument, position in pickletools.genops(stream):
            if position is not None and position > MAX_PICKLE_BYTES:
                raise ValueError(f"more than {MAX_PICKLE_BYTES} bytes of pickle")
            if opcode.name not in _TORCH_OPCODES and self.scan.foreign_opcode is None:
                self.scan.foreign_opcode = f"opcode {opcode.name} (pickle protocol {opcode.proto})"
            handler = getattr(self, f"_op_{opcode.name.lower()}", None)
            if handler is not None:
                handler(argument)
            elif opcode.name.startswith(("LONG_BINGET", "BINGET", "GET")):
                self.stack.append(self.memo[int(argument or 0)])
            elif opcode.name.startswith(("LONG_BINPUT", "BINPUT", "PUT")):
                self.memo[int(argument or 0)] = self.stack[-1]
            elif not opcode.stack_before:
                self.stack.extend([argument if argument is not None else _OPAQUE] * len(opcode.stack_after))
            else:
                raise ValueError(f"unexpected opcode {opcode.name}")
        self.scan.value = self.stack.pop()

    def refuse_unsafe(self) -> None:
        """Raise if the pickle, as far as it was walked, needs more than ``weights_only`` allows."""
        allowed = _weights_only_unpickler._get_allowed_globals()
        unsafe = sorted({name for name in self.scan.globals if name not in allowed})
        if unsafe:
            shown = ", ".join(unsafe[:5]) + (f" and {len(unsafe) - 5} more" if len(unsafe) > 5 else "")
            raise unsafe_pickle(self.file, f"needs {shown}; nothing of it was run", found=shown)
        if self.scan.foreign_opcode is not None:
            found = self.scan.foreign_opcode
            raise unsafe_pickle(self.file, "needs a pickle opcode that weights_only loading refuses", found=found)

    def _problem(self, what: str, expected: str, found: str) -> None:
        self.scan.problems.append(unreadable(self.file, what, expected=expected, found=found))

    def _pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _name(self, module: str, name: str) -> None:
        if (module, name) in _compat_pickle.NAME_MAPPING:
            module, name = _compat_pickle.NAME_MAPPING[module, name]
        else:
            module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        self.scan.globals.append(f"{module}.{name}")
        self.stack.append(Global(f"{module}.{name}"))

    # Names -----------------------------------------------------------------------------------------------------------

    def _op_global(self, argument: str) -> None:
        self._name(*argument.split(" ", 1))

    def _op_stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(str(module), str(name))

    def _op_inst(self, argument: str) -> None:
        self._pop_mark()
        self._name(*argument.split(" ", 1))

    def _op_ext1(self, code: int) -> None:
        self.scan.globals.append(f"copyreg extension {code}")
        self.stack.append(_OPAQUE)

    _op_ext2 = _op_ext4 = _op_ext1

    # Stack and containers --------------------------------------------------------------------------------------------

    def _op_proto(self, _: int) -> None: ...

    _op_frame = _op_proto
    _op_stop = _op_proto

    def _op_mark(self, _: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _op_pop(self, _: None) -> None:
        self.stack.pop()

    def _op_pop_mark(self, _: None) -> None:
        self._pop_mark()

    def _op_dup(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def _op_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _op_tuple(self, _: None) -> None:
        items = self._pop_mark()
        self.stack.append(tuple(items))

    def _op_tuple1(self, _: None) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def _op_tuple2(self, _: None) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def _op_tuple3(self, _: None) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def _op_empty_tuple(self, _: None) -> None:
        self.stack.append(())

    def _op_empty_list(self, _: None) -> None:
        self.stack.append([])

    def _op_list(self, _: None) -> None:
        items = self._pop_mark()
        self.stack.append(items)

    def _op_append(self, _: None) -> None:
        self._extend([self.stack.pop()])

    def _op_appends(self, _: None) -> None:
        self._extend(self._pop_mark())

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _op_dict(self, _: None) -> None:
        self._pop_mark()
        self.stack.append(_OPAQUE)

    _op_frozenset = _op_dict

    def _op_setitem(self, _: None) -> None:
        del self.stack[-2:]

    def _op_setitems(self, _: None) -> None:
        self._pop_mark()

    _op_additems = _op_setitems

    def _op_readonly_buffer(self, _: None) -> None: ...

    # Calls -----------------------------------------------------------------------------------------------------------

    def _op_reduce(self, _: None) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    _op_newobj = _op_reduce

    def _op_newobj_ex(self, _: None) -> None:
        self.stack.pop()
        self._op_reduce(None)

    def _op_obj(self, _: None) -> None:
        self._pop_mark()
        self.stack.append(_OPAQUE)

    def _op_build(self, _: None) -> None:
        state = self.stack.pop()
        # Old files build a tensor by set_(storage, offset, size, stride).
        if isinstance(state, tuple) and state and isinstance(state[0], StorageClaim):
            self._check_view("torch.Tensor", state)

    def _op_binpersid(self, _: None) -> None:
        identity = self.stack.pop()
        if isinstance(identity, tuple) and len(identity) == 4 and identity[0] in ("module", b"module"):
            # A whole module of a legacy file: (class, source file, source). The class has been recorded as a name.
            self.stack.append(identity[1])
            return
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] not in ("storage", b"storage"):
            raise ValueError(f"persistent id {str(identity)[:80]} is not a storage")
        kind, key, elements = identity[1], str(identity[2]), identity[4]
        element_bytes = STORAGE_BYTES.get(kind.name.rsplit(".", 1)[-1]) if isinstance(kind, Global) else None
        if element_bytes is None or not _is_natural(elements):
            raise ValueError(f"storage {key[:80]} of type {kind} with {elements} elements")
        claim = StorageClaim(key, elements, element_bytes)
        known = self.scan.storages.get(key)
        if known is None or claim.nbytes > known.nbytes:
            self.scan.storages[key] = claim
        if claim.nbytes > self.file_bytes:
            what = f"storage {key} is larger than the file, which is truncated or lies"
            self._problem(what, f"at most {self.file_bytes} bytes", _count(claim))
        view = identity[5] if len(identity) > 5 else None
        if isinstance(view, tuple):
            _, offset, size = view
            if not (_is_natural(offset) and _is_natural(size) and offset + size <= elements):
                self._problem(f"view of storage {key} lies outside it", f"at most {elements} elements", f"{view[1:]}")
            claim = StorageClaim(key, size, element_bytes)
        self.stack.append(claim)

    def _call(self, function: Any, arguments: Any) -> Any:
        """The inert result of ``function(*arguments)``, its claims checked."""
        name = function.name if isinstance(function, Global) else ""
        arguments = arguments if isinstance(arguments, tuple) else (arguments,)
        short = name.removeprefix("torch._utils.")
        if short in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"):
            return self._check_view(short, arguments)
        if name == "torch._tensor._rebuild_from_type_v2" and len(arguments) >= 3:
            return self._call(arguments[0], arguments[2])
        if name == "torch.Size" and len(arguments) == 1:
            return arguments[0]
        allocates = name == "builtins.bytearray" or (name.startswith("torch.") and name.endswith("Tensor"))
        if allocates and _largest(arguments) > self.file_bytes:
            self._problem(f"{name} asks for more memory than the file has", f"{self.file_bytes}", str(arguments)[:80])
        return _Call(name)

    def _check_view(self, function: str, arguments: Sequence[Any]) -> _Call:
        """Whether a tensor of (storage, offset, size, stride, …) lies inside its storage."""
        if len(arguments) < 4 or not isinstance(arguments[0], StorageClaim):
            raise ValueError(f"{function} without a storage")
        storage, offset, size, stride = arguments[:4]
        element_bytes = storage.element_bytes
        if function == "_rebuild_tensor_v3":
            dtype = getattr(torch, str(getattr(arguments[6], "name", "")).removeprefix("torch."), None)
            if not isinstance(dtype, torch.dtype):
                raise ValueError(f"{function} with dtype {arguments[6]}")
            element_bytes = dtype.itemsize
        numbers = isinstance(size, (tuple, list)) and isinstance(stride, (tuple, list)) and len(size) == len(stride)
        if not numbers or not all(map(_is_natural, [offset, *size, *stride])):
            raise ValueError(f"{function} with size {str(size)[:80]} and stride {str(stride)[:80]}")
        count = 1
        for extent in size:
            count *= min(extent, 2**62)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if count else 0
        if last * element_bytes > storage.nbytes:
            expected = f"at most {storage.nbytes} bytes"
            self._problem(f"tensor {list(size)} is larger than its storage", expected, f"{last * element_bytes} bytes")
        elif count * element_bytes > self.file_bytes:
            expected = f"at most {self.file_bytes} bytes"
            self._problem(f"tensor {list(size)} repeats its storage", expected, f"{count * element_bytes} bytes")
        return _Call(function, count * element_bytes)


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _largest(value: Any) -> int:
    """The product of the whole numbers in nested call arguments: what a constructor may allocate."""
    product, pending = 1, [value]
    while pending and product < 2**63:
        item = pending.pop()
        if isinstance(item, (tuple, list)):
            pending.extend(item)
        elif isinstance(item, int) and not isinstance(item, bool):
            product *= max(item, 1)
    return product


def _count(claim: StorageClaim) -> str:
    return f"{claim.nbytes} bytes"
