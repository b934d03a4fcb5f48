"""What tells a layer's weights again without keeping them: an exact digest, and a sketch that estimates products.

Both see the filters one after the other, in the order of the table ``filters``: output channel by output channel, in
each the input channels of its group, in each the kernel row by row.

**Digest**: SHA-256 of these weights as little-endian float32, 36 bytes a filter, in hex. Nothing else goes into it: not
the name (ONNX gives other names), not the type in the checkpoint (a half that was widened is the same weight), and not
the channels, which a published corpus may not know; equal bytes of other channels do not occur among trained weights.
-0 and 0 differ.

**Sketch**: a count sketch (Charikar, Chen & Farach-Colton 2002) of the weights in 256 buckets. Weight k of filter i
goes with sign s(i, k) to bucket (b(i) + k) mod 256; b and s are bits of SplitMix64 (Steele, Lea & Flood 2014) at place
i, so that two layers of equal shape are hashed alike. The inner product of their sketches then has the inner product
of their weights as its expectation over the seed, with a variance of at most (|x|² |y|² + (x·y)²) / 256: a cosine is
known to ±1/16, and a mean over L layers to ±1/(16 √L). It is linear: the sketch of a sum is the sum of the sketches.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from distributed.records import SKETCH_LENGTH

#: Where SplitMix64 begins: another number is another sketch, which compares with no stored one.
SEED = 0x2201084652203153

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Fingerprint:
    """Digest and sketch of filters that come in pieces; however they are cut, the result is the same to the bit.

    Args:
        compiled: add by the compiled loop, 8 ns a filter where NumPy takes 20; loading numba takes a second.
    """

    def __init__(self, *, compiled: bool) -> None:
        self._content, self._filters, self._compiled = hashlib.sha256(), 0, compiled
        self._sums = np.zeros(SKETCH_LENGTH)

    @classmethod
    def of(cls, pieces: Iterable[NDArray[np.float32]], *, compiled: bool) -> Fingerprint:
        """Of (k, 9) pieces, contiguous."""
        result = cls(compiled=compiled)
        for piece in pieces:
            result.add(piece)
        return result

    def seeing(self, pieces: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """The pieces, each passed on when it has been added: while it is in the cache, and has been read once."""
        for piece in pieces:
            self.add(piece)
            yield piece

    def add(self, piece: NDArray[np.float32]) -> None:
        """The next (k, 9) filters, contiguous."""
        self._content.update(piece.astype("<f4", copy=False).data)
        if self._compiled:
            from distributed.compiled import compiled  # imports numba
            from distributed.statistics import fingerprint_loops

            compiled(fingerprint_loops, "add_sketch")(piece.reshape(-1), self._filters, SEED, self._sums)
        else:
            buckets, signs = _places(self._filters, self._filters + len(piece))
            # What is there comes first, so that everything is added in the order that the loop adds it in.
            places = np.concatenate([np.arange(SKETCH_LENGTH), buckets.ravel()])
            values = np.concatenate([self._sums, (signs * piece).ravel()])
            self._sums[:] = np.bincount(places, values)
        self._filters += len(piece)

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return self._content.hexdigest()

    @property
    def sketch(self) -> NDArray[np.float32]:
        """(256,) float32; sums beyond its range stay at its ends."""
        largest = np.finfo(np.float32).max
        return np.clip(self._sums, -largest, largest).astype(np.float32)


def _places(start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """(k, 9) buckets and signs of filters ``start`` … ``stop`` - 1."""
    if stop <= _TABLE:
        buckets, signs = _first_places()
        return buckets[start:stop], signs[start:stop]
    return _hashed(start, stop)


#: Filters whose places are kept, 5 MB: layers of more are added by the compiled loop (``tensors``).
_TABLE = 1 << 15


@functools.cache
def _first_places() -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    return _hashed(0, _TABLE)


def _hashed(start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    z = np.arange(start + 1, stop + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(SEED)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    z ^= z >> np.uint64(31)
    buckets = ((z[:, None] & np.uint64(255)).astype(np.intp) + np.arange(9)) % SKETCH_LENGTH
    bits = (z[:, None] >> np.arange(8, 17, dtype=np.uint64)) & np.uint64(1)
    return buckets, 1.0 - 2.0 * bits.astype(np.float64)
