"""The settings of ``python -m analysis.partition``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.settings import Middle, SketchSettings, Unit, Weight
from distributed.errors import UserError
from distributed.setting import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSettings(SketchSettings):
    """Everything ``python -m analysis.partition`` needs."""

    factors: tuple[str, ...] = setting(
        ("architecture", "training_dataset", "task"), "columns of models; each explains what those before it left"
    )
    strata: str | None = setting(
        None, "a column of models within whose values labels are dealt out, never across: strata=lineage; null: freely"
    )
    unit: Unit = setting(
        Unit.model,
        "model | lineage: models of one lineage with the same values count once (their centroid) and move together",
    )
    distance: str = setting(
        "js", "js (a metric) | kl (the paper's, none) | wasserstein | tv: the root of its sum over components"
    )
    weight: Weight = setting(Weight.filters, "what counts the same within a model: filters | layers")
    permutations: int = setting(
        999, "of the labels, for p; all ways to deal them out where there are no more than that; 0: no p", (0, 100_000)
    )
    axes: tuple[str, ...] = setting(
        ("depth",), "of layers: the layers of each group alone are partitioned as well; []: only all together"
    )
    by_component: bool = setting(True, "whether each of the nine components alone is partitioned as well")
    middle: Middle = setting(Middle.median, "median (spatial) | centroid: what the spread of a group is measured from")
    bias_adjust: bool = setting(False, "whether spreads of small groups are taken as √(n/(n - 1)) times as large")
    seed: int = setting(0, "of the permutations", (0, 2**63 - 1))
    distances: bool = setting(False, "whether the distances between all models are written as well")
    out: str = setting("partition", "folder of the results; files of an earlier run in it are replaced")

    def __post_init__(self) -> None:
        """See ``SketchSettings``."""
        SketchSettings.__post_init__(self)
        factors: Any = self.factors
        if isinstance(factors, str) or not factors or not all(isinstance(factor, str) for factor in factors):
            raise UserError(f"factors={factors!r}: give a list of names, as in 'factors=[task,architecture]'")
        twice = sorted({factor for factor in factors if factors.count(factor) > 1})
        if twice:
            raise UserError(f"factors: {', '.join(twice)} is named more than once")
        if self.strata in factors:
            raise UserError(f"strata={self.strata} is one of the factors: within its values it does not differ")
