"""One partition after the other: of all layers, of each component, of the layers of each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays.sketch import Sketch
from analysis.arrays.types import Float64, Int64
from analysis.measures.designs import Design
from analysis.measures.drift import DIVERGENCES, Distributions, distributions
from analysis.measures.model_distance import NO_METRIC, component_divergences, squared_distances
from analysis.measures.observations import Observations
from analysis.measures.permanova import Permanova, permanova
from analysis.measures.permdisp import Permdisp, Space, permdisp
from analysis.measures.weighting import unit_histograms
from analysis.partition.settings import PartitionSettings
from analysis.selection.factors import Factor, Models
from analysis.selection.grouping import Grouping
from analysis.wording import shown
from distributed.errors import UserError
from distributed.records import MODEL_BITS_SHIFT

#: What the part is called that holds all layers and components.
EVERYTHING = "all"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One partition.

    Attributes:
        of: ``all``, ``component`` or an axis.
        name: of the part among those.
        observations: how many models, or what is left of lineages, took part.
        permanova: what each factor explains; None where it cannot be told.
        reason: why not.
    """

    of: str
    name: str
    observations: int
    permanova: Permanova | None
    reason: str = ""

    @property
    def title(self) -> str:
        """For people."""
        return self.name if self.of == EVERYTHING else f"{self.of} {self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """The M models that are compared, and by what.

    Attributes:
        settings: how.
        models: which.
        factors: known for all of them.
        strata: a column of theirs; None: labels go anywhere.
        units: (M,) numbers.
    """

    settings: PartitionSettings
    models: Models
    factors: Sequence[Factor]
    strata: Factor | None
    units: Int64

    def observations(self, rows: Int64) -> Observations:
        """Of these models."""
        return Observations.of(self.factors, self.strata, self.units, rows=rows)

    def part(self, of: str, name: str, rows: Int64, squared: Float64) -> Part:
        """The partition of (n, n) d² between the models ``rows``."""
        observations, settings = self.observations(rows), self.settings
        try:
            design = Design.of(observations.factors)
            if not squared.any():
                raise UserError("all distances are 0")
        except UserError as error:
            return Part(of, name, observations.number, None, str(error))
        arrangements = observations.arrangements(settings.permutations, settings.seed)
        return Part(of, name, observations.number, permanova(observations.squared(squared), design, arrangements))


def whole_and_components(compared: Compared, sketch: Sketch, everything: Grouping) -> tuple[Float64, list[Part]]:
    """(M, M) d² between all models; their partition, and if asked for that of each component.

    Raises:
        UserError: a model has no coefficient in the range of the basis, or all models are alike.
    """
    (rows, found), settings = _by_model(compared, sketch, everything)[0], compared.settings
    everyone = np.arange(len(compared.models.keys))
    if len(rows) < len(everyone):
        model = shown(compared.models.labels[int(np.setdiff1d(everyone, rows)[0])])
        raise UserError(f"no coefficient of model {model} lies in the range of the basis: leave it out with where=…")
    squared, parts = np.zeros((len(rows),) * 2), []
    for index, each in enumerate(component_divergences(found, DIVERGENCES[settings.distance])):
        squared += found.weights[index] * each
        if settings.by_component:
            parts.append(compared.part("component", str(index + 1), rows, each))
    first = compared.part(EVERYTHING, EVERYTHING, rows, squared)
    if first.permanova is None:
        raise UserError(first.reason)
    return squared, [first, *parts]


def by_group(compared: Compared, sketch: Sketch, grouping: Grouping) -> list[Part]:
    """The partition by the layers of each group alone, of the models that have any."""
    divergence = DIVERGENCES[compared.settings.distance]
    return [
        compared.part(grouping.axis, group.name, rows, squared_distances(found, divergence))
        for group, (rows, found) in zip(grouping.groups, _by_model(compared, sketch, grouping), strict=True)
    ]


def dispersions_of(
    compared: Compared, everyone: Observations, squared: Float64
) -> tuple[tuple[Permdisp, ...], list[str]]:
    """Of each factor whose groups have a spread; why the others have not."""
    settings, found, reasons = compared.settings, [], []
    space = Space(everyone.squared(squared), is_euclidean=settings.distance not in NO_METRIC)
    for factor in everyone.factors:
        try:
            found.append(
                permdisp(
                    space,
                    factor,
                    settings.middle,
                    lambda rows: everyone.arrangements(settings.permutations, settings.seed, rows),
                    bias_adjust=settings.bias_adjust,
                )
            )
        except UserError as error:
            reasons.append(str(error))
    return tuple(found), reasons


def _by_model(compared: Compared, sketch: Sketch, grouping: Grouping) -> list[tuple[Int64, Distributions]]:
    """For each group which models have coefficients in it, and their distributions."""
    histograms, basis = unit_histograms(sketch, grouping, compared.settings.weight), sketch.basis
    owners = np.unique(grouping.layer_ids >> MODEL_BITS_SHIFT)
    models = np.searchsorted(compared.models.keys, owners[histograms.unit])
    filled = (histograms.counts.sum(axis=2) > 0).all(axis=1)
    found = []
    for group in range(len(grouping.groups)):
        rows = np.flatnonzero(filled & (histograms.group == group))
        some = distributions(histograms.counts[rows], basis.explained_variance_ratio, basis.low, basis.high)
        found.append((models[rows].astype(np.int64), some))
    return found
