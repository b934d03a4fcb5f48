"""What is done to the units of a scan, and what those who do it offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from analysis.arrays.basis import Basis, PrincipalAxes
from analysis.arrays.kernels import DEVICES, kernels_for
from analysis.scanning.reading import FilterStore, ReadPolicy
from analysis.scanning.units import WorkUnit
from distributed.errors import UserError


@dataclass(frozen=True, slots=True)
class UnitTask:
    """One scan, ready for any unit: a picklable function of a ``WorkUnit``.

    Attributes:
        scan: of ``analysis.scanning.reading``, or with its arguments: unit, file system, kernels, ``what``, policy.
        store: whose files the units name.
        what: is projected on, where anything is.
        policy: of reading.
    """

    scan: Callable[..., dict[str, Any]]
    store: FilterStore
    what: PrincipalAxes | Basis | None
    policy: ReadPolicy

    def run(self, unit: WorkUnit, device: str) -> dict[str, Any]:
        """What the scan found in ``unit``; its ``filters`` is how many were read.

        Raises:
            StoreError: a file cannot be read or is not what it should be.
        """
        return self.scan(unit, self.store.arrow_filesystem(), kernels_for(device), self.what, self.policy)


class Workers(Protocol):
    """Run tasks over units, one unit on one core at a time."""

    @property
    def parallel(self) -> int:
        """How many units run at once."""

    def results(self, task: UnitTask, units: Sequence[WorkUnit]) -> Iterator[dict[str, Any]]:
        """What each unit gave, in the order of completion; an error of a unit is raised as it was there."""

    def statistics(self) -> str:
        """Of the last finished ``results``, for people; empty where there are none."""


def check_device(device: str) -> None:
    """That ``device`` is one of ``analysis.arrays.kernels.DEVICES``.

    Raises:
        UserError: it is not.
    """
    if device not in DEVICES:
        raise UserError(f"device={device}: choose one of {', '.join(DEVICES)}")
