"""The objects of a pandas frame: a pickled array of texts and numbers in an HDF5 file, read without unpickling it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distributed.errors import UnextractableError
from distributed.formats.pickle_arguments import PickleBytes
from distributed.formats.pickle_machine import read_pickle
from distributed.formats.pickle_values import Raw, StandIn
from distributed.formats.problems import unreadable

#: All names that an array of texts, numbers and None needs, of NumPy before and since 2.0.
ALLOWED_NAMES = frozenset(
    {
        *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
        *("numpy.ndarray", "numpy.dtype", "_codecs.encode"),
    }
)


def objects_of(data: bytes | memoryview, place: str) -> NDArray[Any]:
    """The array of objects that ``data`` pickles: texts, bytes, numbers and None. Nothing of it is executed.

    Args:
        data: a pickle, as PyTables keeps object arrays.
        place: file and data set, for messages.

    Raises:
        UnextractableError: (unsafe_pickle) it names anything but ``ALLOWED_NAMES``; (unreadable) it is damaged, or
            holds another array than one of plain objects.
    """

    def no_storage(*_: object) -> Any:
        raise unreadable(place, "holds a tensor of torch", expected="texts and numbers")

    node = read_pickle(PickleBytes(memoryview(data)), no_storage, place, ALLOWED_NAMES)
    problem = unreadable(place, "is no pickled array of objects: write the frame again with pandas' to_hdf")
    if not isinstance(node, StandIn) or not node.name.endswith("._reconstruct"):
        raise problem
    state = node.state
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[4], list):
        raise problem
    # NumPy gives the objects row by row, whatever the order in memory that the fourth part tells.
    shape, items = state[1], state[4]
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise problem
    if math.prod(shape) != len(items):
        raise unreadable(place, "holds another number of objects than its shape says", found=f"{len(items)}")
    flat = np.empty(len(items), object)
    flat[:] = [_plain(item, problem) for item in items]
    return flat.reshape(shape)


def _plain(item: Any, problem: UnextractableError) -> Any:
    if item is None or isinstance(item, str | bytes | bool | int | float):
        return item
    if isinstance(item, Raw):  # a text so long that it was left where it is
        return bytes(item.data).decode(item.text or "utf-8", "replace")
    raise problem
