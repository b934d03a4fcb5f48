"""The outer layers of torch's files: zip archives, TorchScript among them, legacy files, and plain pickles."""

from __future__ import annotations

from functools import partial

import torch

from distributed.formats.pickle_arguments import PickleBytes
from distributed.formats.pickle_machine import read_pickle
from distributed.formats.pickle_meanings import Meanings
from distributed.formats.pickle_values import InMemory, Storage, StorageView
from distributed.formats.pickled_tensor import PickledTensor
from distributed.formats.problems import unreadable, unsupported
from distributed.formats.remembered import Remembered
from distributed.formats.sniff import TORCH_LEGACY_MAGIC, FileKind
from distributed.formats.zip_kinds import described, torch_root
from distributed.formats.zip_members import ZipMembers

#: Pickles of an archive are read into memory up to this; weights are beside them, arrays in them.
_MOST_PICKLE_BYTES = 64 * 2**20


def read_torch_file(source: Remembered, kind: FileKind) -> tuple[object, list[str]]:
    """What a file holds: ``PickledTensor`` in nested dicts and lists, and notes on what was set aside.

    No code of the file is run, nothing is imported for it, and no tensor's data is read.

    Args:
        source: the file. Of a zip archive the directory and the pickles are read; the others are fetched whole.
        kind: zip, legacy, or a plain pickle.

    Raises:
        UnextractableError: (unreadable) truncated, or it claims more bytes than it has; (unsupported_format) a zip of
            another kind; (unsafe_pickle) it would run what no data needs.
        RetryableError: reading failed.
    """
    file = source.name
    meanings = Meanings(lambda data: _storage_in(data, file))
    try:
        if kind is FileKind.TORCH_ZIP:
            tree = _read_zip(_archive(source), meanings, file)
        elif kind is FileKind.TORCH_LEGACY:
            tree = meanings.value(read_legacy(source.mapped(), file))
        else:
            tree = meanings.value(read_pickle(PickleBytes(source.mapped()), _no_storage, file))
    except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
        raise unreadable(file, "a tensor that cannot be", found=str(error)[:200]) from None
    return tree, meanings.notes()


def _archive(source: Remembered) -> ZipMembers:
    """The archive: mapped where the file is here, or where its pickles hold the data themselves and are long."""
    if not source.on_disk:
        members = ZipMembers(source)
        sizes = [members.size(name) or 0 for name in members.names if name.endswith(".pkl")]
        if sum(sizes) <= _MOST_PICKLE_BYTES:
            return members
    source.mapped()
    return ZipMembers(source)


def _read_zip(members: ZipMembers, meanings: Meanings, file: str) -> object:
    root = torch_root(members.names)
    if root is None:
        what = "zip archive, but not a torch.save checkpoint"
        raise unsupported(file, what, expected="data.pkl", found=described(members.names))
    first = [
        (name, 0, size) for name in (f"{root}data.pkl", f"{root}byteorder") if (size := members.size(name)) is not None
    ]
    data, *order = members.read(first)
    swapped = [bytes(each[:4]) for each in order] == [b"big"]

    storages: dict[str, Storage] = {}

    def read(pickle: memoryview, folder: str) -> object:
        def find_storage(key: str, elements: int, dtype: torch.dtype) -> Storage:
            member, needed = f"{root}{folder}/{key}", elements * dtype.itemsize
            found = members.size(member)
            if found is None:
                raise unreadable(file, f"storage {key} is missing", expected=f"member {member}")
            if needed > found:
                what = f"storage {key} is shorter than the pickle says"
                raise unreadable(file, what, expected=f"{needed} bytes", found=f"{found} bytes")
            return storages.setdefault(member, Storage(member, found, members, swapped))

        return meanings.value(read_pickle(PickleBytes(pickle), find_storage, file))

    tree = read(data, "data")
    constants = f"{root}constants.pkl", 0, members.size(f"{root}constants.pkl") or 0
    if not constants[2] or any(len(t.shape) == 4 for t in tensors_in(tree)):
        return tree
    # A frozen TorchScript module has no parameters left: its weights are the constants of its code.
    return {"module": tree, "constants": read(members.read([constants])[0], "constants")}


def tensors_in(tree: object) -> list[PickledTensor]:
    """The tensors of nested dicts and lists; each container is looked at once, so cycles end."""
    found, pending, seen = [], [tree], set[int]()
    while pending:
        node = pending.pop()
        if isinstance(node, PickledTensor):
            found.append(node)
        elif isinstance(node, (dict, list)) and id(node) not in seen:
            seen.add(id(node))
            pending.extend(node.values() if isinstance(node, dict) else node)
    return found


def read_legacy(memory: memoryview, file: str) -> object:
    """The inert value of a legacy file.

    Five pickles (magic, protocol, system, object, storage keys), then the storages: element count (8 bytes) and data.

    Raises:
        UnextractableError: it is damaged, truncated, or a storage has another length than the pickle says.
    """
    source = PickleBytes(memory)
    storages: dict[str, tuple[Storage, int, int]] = {}

    def find_storage(key: str, elements: int, dtype: torch.dtype) -> Storage:
        new = Storage(key, elements * dtype.itemsize), elements, dtype.itemsize
        known = storages.setdefault(key, new)
        if known[1:] != new[1:]:
            found = f"{new[0].nbytes} bytes"
            raise unreadable(file, f"storage {key} of two sizes", expected=f"{known[0].nbytes} bytes", found=found)
        return known[0]

    _, _, system = (read_pickle(source, _no_storage, file) for _ in range(3))
    swapped = isinstance(system, dict) and system.get("little_endian") is False
    value = read_pickle(source, find_storage, file)
    keys = read_pickle(source, _no_storage, file)
    if not isinstance(keys, list):
        raise unreadable(file, "damaged legacy file", expected="a list of storage keys")
    position = source.position
    for key in map(str, keys):
        if key not in storages:
            raise unreadable(file, f"storage {key[:80]} is not used", expected="a storage of the pickle")
        storage, elements, item_bytes = storages.pop(key)
        header = memory[position : position + 8]
        found = int.from_bytes(header, "big" if swapped else "little")
        if len(header) == 8 and found != elements:
            raise unreadable(
                file,
                f"storage {key} has another length than the pickle says",
                expected=f"{elements} elements",
                found=f"{found} elements",
            )
        start, position = position + 8, position + 8 + elements * item_bytes
        if position > len(memory):
            expected, size = f"at least {position} bytes", f"{len(memory)} bytes"
            raise unreadable(file, "truncated legacy file", expected=expected, found=size)
        storage.content, storage.swapped = InMemory(partial(_part, memory, start, position)), swapped
    if storages:
        raise unreadable(file, f"{len(storages)} storages have no data", found=f"no storage {min(storages)}")
    return value


def _part(memory: memoryview, start: int, stop: int) -> memoryview:
    return memory[start:stop]


def _storage_in(data: memoryview, file: str) -> StorageView:
    """The storage in bytes that a plain pickle of tensors holds: a legacy file of its own."""
    if TORCH_LEGACY_MAGIC not in bytes(data[:32]):
        raise unreadable(file, "a storage inside the pickle is no legacy torch file")
    value = read_legacy(data, file)
    if not isinstance(value, StorageView):
        raise unreadable(file, "a torch file inside the pickle holds something else than a storage")
    return value


def _no_storage(key: str, elements: int, dtype: torch.dtype) -> Storage:
    raise ValueError(f"storage {key} is in no part of the file; of an unpacked archive, zip the folder again")
