"""A weight as a checkpoint stores it: the tensors that make it, whatever they are called."""

from __future__ import annotations

from dataclasses import dataclass

from distributed.convolutions.layout import AxisOrder
from distributed.convolutions.plan import WeightForm


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """A weight as the checkpoint stores it.

    Attributes:
        name: of the weight itself (``conv.weight``), whatever its parts are called.
        shape: of the weight, in torch's order of axes where ``order`` is known.
        dtype: of the part that carries the kernels.
        parts: entry names, in the order of ``form``.
        form: how they make the weight; None when that is not known.
        problem: why ``form`` is None, as a note says it.
        order: how the parts hold the axes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    parts: tuple[str, ...]
    form: WeightForm | None
    problem: str = "its parametrization is not known"
    order: AxisOrder = AxisOrder.OIHW
