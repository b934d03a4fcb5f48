"""What every checkpoint format gives: the same verbs, whatever the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from distributed.graph.facts import GraphFacts
from distributed.values import Values

#: Content of a file. Where it can be written to, whoever asked for it owns it.
Content = bytes | bytearray | memoryview


class ByteSource(Protocol):
    """One file of a model, on disk or on the Hub. Reads are counted in ``bytes_read``."""

    @property
    def name(self) -> str:
        """Path relative to the model's root, for messages."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""

    @property
    def bytes_read(self) -> int:
        """Bytes fetched or read so far."""

    @property
    def verified_sha256(self) -> str | None:
        """Hex digest of the content where all of it was read and checked; None where only ranges were."""

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> Sequence[Content]:
        """The bytes of each half-open ``(start, stop)`` range, in the order asked.

        Raises:
            UnextractableError: a range lies outside the file.
            RetryableError: the network or the disk failed, or answered with other bytes than asked.
        """

    def local_path(self) -> Path:
        """The whole file as a path on this machine, fetched first if it is remote."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One named tensor of a checkpoint, known before its data is read.

    Attributes:
        name: name in the checkpoint after wrappers and ``module.``/``_orig_mod.`` prefixes are removed.
        shape: as stored.
        dtype: the stored type in torch's words (``float32``, ``bfloat16``, …).
        is_dequantised: stored as integers whose scale the file knows: ``read`` gives the floats that they stand for.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_dequantised: bool = False


class Checkpoint(Protocol):
    """An opened checkpoint: one model's weights (wrappers, optimizer state and copies already looked through).

    Use as a context manager; closing releases files and memory.
    """

    @property
    def format(self) -> str:
        """``safetensors``, ``torch`` or ``onnx``."""

    @property
    def entries(self) -> Sequence[TensorEntry]:
        """The model's tensors, in the best order the file knows (see ``order_known``)."""

    @property
    def order_known(self) -> bool:
        """True when the order of ``entries`` is the order of definition (torch pickles, a shard index, ONNX)."""

    @property
    def graph(self) -> GraphFacts | None:
        """Facts from the file's own graph (ONNX), else None."""

    @property
    def framework(self) -> str | None:
        """What the file says wrote it (``format`` of a safetensors header: ``pt``, ``mlx``, ``tf``, ``flax``)."""

    @property
    def notes(self) -> Sequence[str]:
        """What was left aside and why, one sentence each (``left out optimizer state 'optimizer'`` …)."""

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Values]]:
        """The tensors of these names, in this order, as stored (dtype and shape), on the CPU.

        Raises:
            UnextractableError: data is missing or damaged.
            RetryableError: reading failed for a reason that may pass.
        """

    def __enter__(self) -> Checkpoint: ...

    def __exit__(self, *exc: object) -> None: ...
