"""torch.save files through ``torch.load(weights_only=True)`` and nothing else."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from distributed.errors import RetryableError
from distributed.formats.agreement import Rows, rows_of
from distributed.formats.base import ByteSource, TensorEntry
from distributed.formats.problems import unreadable, unsafe_pickle
from distributed.formats.sniff import FileKind
from distributed.formats.state_dict import Selection, select_state_dict
from distributed.formats.torch_archive import check_legacy, check_zip
from distributed.graph.facts import GraphFacts

#: What ``torch.load`` raises on files that passed the checks and still are not what they claim.
_LOAD_ERRORS = (
    *(RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, EOFError),
    *(ImportError, ArithmeticError, LookupError, RecursionError, struct.error, zipfile.BadZipFile),
)


def load_torch_file(path: Path, kind: FileKind, file: str) -> object:
    """The object of a zip or legacy file, on the CPU; of a zip the tensors are mapped, not read.

    Raises:
        UnextractableError: (unsafe_pickle) it needs more than ``weights_only`` allows; (unreadable, unsupported_format)
            see ``distributed.formats.torch_archive``.
        RetryableError: reading failed or memory ran out.
    """
    if kind is FileKind.TORCH_ZIP:
        check_zip(path, file)
    else:
        check_legacy(path, file)
    # torch.load sends paths that end so to the safetensors package, which this file is not for.
    mapped = kind is FileKind.TORCH_ZIP and path.suffix != ".safetensors"
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")  # torch's remarks on old files; what matters is raised
            if mapped:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = _torch_reason(str(error))
        raise unsafe_pickle(file, "weights_only loading refuses it", found=reason) from None
    except (OSError, MemoryError) as error:
        raise RetryableError(f"{file}: loading failed ({error}); try again") from error
    except _LOAD_ERRORS as error:
        raise unreadable(file, "torch.load failed", found=f"{type(error).__name__}: {error}"[:200]) from None


def _torch_reason(message: str) -> str:
    named = re.search(r"GLOBAL (\S+)", message)
    if named:
        return named.group(1)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[1][:200] if len(lines) > 1 else message[:200]


class TorchCheckpoint:
    """One torch.save file, or the shards of one model. Implements ``distributed.formats.base.Checkpoint``.

    Args:
        files: (source, kind) of each file.
        weight_map: of a shard index: tensor name → source, in the index's order; None without an index.
        prefer_ema: take an averaged copy instead of its raw twin.
        wanted: see ``select_state_dict``.
    """

    def __init__(
        self,
        files: Sequence[tuple[ByteSource, FileKind]],
        *,
        weight_map: Mapping[str, ByteSource] | None = None,
        prefer_ema: bool = False,
        wanted: Callable[[str], bool] = lambda name: False,
    ) -> None:
        trees = {source.name: load_torch_file(source.local_path(), kind, source.name) for source, kind in files}
        notes: list[str] = []
        tree: object
        if weight_map is not None:
            tree = _indexed(trees, weight_map)
            self._order_known = list(weight_map) != sorted(weight_map)
        else:
            tree = _merged(trees)
            self._order_known = True
        selection = select_state_dict(tree, torch.Tensor, sample=_sample, prefer_ema=prefer_ema, wanted=wanted)
        notes.extend(selection.notes)
        self._tensors = _plain_tensors(selection, notes)
        self._tensors = _without_ties(self._tensors, notes)
        self._notes = tuple(notes)
        self._entries = tuple(
            TensorEntry(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in self._tensors.items()
        )

    @property
    def format(self) -> str:
        return "torch"

    @property
    def entries(self) -> Sequence[TensorEntry]:
        return self._entries

    @property
    def order_known(self) -> bool:
        return self._order_known

    @property
    def graph(self) -> GraphFacts | None:
        return None

    @property
    def framework(self) -> str | None:
        """See ``Checkpoint.framework``: nothing says."""
        return None

    @property
    def notes(self) -> Sequence[str]:
        return self._notes

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """See ``Checkpoint.read``. Tensors of zip files are views of the mapped file."""
        for name in names:
            yield name, self._tensors[name]

    def __enter__(self) -> TorchCheckpoint:
        return self

    def __exit__(self, *exc: object) -> None:
        self._tensors = {}


def _sample(tensors: Sequence[torch.Tensor]) -> list[Rows | None]:
    return [rows_of(tensor) for tensor in tensors]


def _indexed(trees: Mapping[str, object], weight_map: Mapping[str, ByteSource]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for name, source in weight_map.items():
        shard = trees[source.name]
        if not isinstance(shard, Mapping) or name not in shard:
            raise unreadable(source.name, "tensor of the index is not in its shard", tensor=name)
        tree[name] = shard[name]
    return tree


def _merged(trees: Mapping[str, object]) -> object:
    if len(trees) == 1:
        return next(iter(trees.values()))
    merged: dict[Any, object] = {}
    for file, shard in trees.items():
        for name, value in shard.items() if isinstance(shard, Mapping) else [(file, shard)]:
            if name in merged:
                raise unreadable(file, "tensor is in two shards", tensor=str(name))
            merged[name] = value
    return merged


def _plain_tensors(selection: Selection[torch.Tensor], notes: list[str]) -> dict[str, torch.Tensor]:
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in selection.tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            kind = str(tensor.layout).removeprefix("torch.") if tensor.layout != torch.strided else tensor.device.type
            notes.append(f"left out {name!r}: a {kind} tensor")
        else:
            plain[name] = tensor.detach().resolve_conj().resolve_neg()
    return plain


def _without_ties(tensors: Mapping[str, torch.Tensor], notes: list[str]) -> dict[str, torch.Tensor]:
    """Count once what is the same memory under several names: the first name stays."""
    first: dict[tuple[Any, ...], str] = {}
    kept: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        key = (tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and (twin := first.setdefault(key, name)) != name:
            notes.append(f"counted {name!r} once: it is tied to {twin!r}")
        else:
            kept[name] = tensor
    return kept
