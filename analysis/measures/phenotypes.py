"""What a two-dimensional density of coefficients looks like: sun, spikes, symbols or point (arXiv 2203.15331).

The paper names four looks of the coefficients of a layer and tells them apart by eye. Here they are told apart by three
numbers of the binned density, each 0 for a Gaussian of the same mean and covariance up to sampling:

* **centre**: share of filters within ``CENTRE_RADIUS`` standard deviations of the point where an all-zero filter lies,
  beyond the share a Gaussian has there. High: *point* (most filters say nothing).
* **hot spots**: share of filters that sit, beyond what the Gaussian puts there, in cells with more than ``HOT`` times
  the Gaussian's density and enough filters not to be there by chance. High: *spikes* (a few filters, over and over).
* **shape**: total variation distance to the Gaussian, less what sampling alone makes of it; and Sarle's bimodality
  coefficient (skewness² + 1) / kurtosis of either marginal, 1/3 for a Gaussian, 5/9 for a uniform distribution. High:
  *symbols* (several modes, rings, fans).

None of them high: *sun*. The thresholds are this project's, chosen on the layers described in docs/phenotypes.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from analysis.arrays.types import Float64

#: Cells along each axis that scores are made on, over the basis's range: finer ones hold too few filters.
CELLS = 24

#: Layers of fewer filters have no look of their own: sampling decides.
FEWEST_FILTERS = 256

CENTRE_RADIUS = 0.25
#: Times the Gaussian's density, and standard deviations of the count, above which a cell is a hot spot.
HOT, HOT_DEVIATIONS = 3.0, 5.0

#: From these on a layer is a point, spikes, symbols.
POINT, SPIKES, SYMBOLS, BIMODAL = 0.2, 0.1, 0.12, 0.6


class Phenotype(StrEnum):
    """The four looks, and none where there are too few filters to say."""

    SUN = "sun"
    SPIKES = "spikes"
    SYMBOLS = "symbols"
    POINT = "point"
    FEW = "too few filters"


@dataclass(frozen=True, slots=True)
class PhenotypeScore:
    """The numbers behind a look; see the module. ``filters`` is how many lie in the histogram."""

    phenotype: Phenotype
    filters: int
    centre: float
    hot_spots: float
    shape: float
    bimodality: float


def phenotype_of(
    counts: npt.NDArray[np.integer], low: float, high: float, origin: tuple[float, float]
) -> PhenotypeScore:
    """The look of (B, B) counts over [low, high]²; ``origin`` is where an all-zero filter lies.

    Scores are NaN where there is no filter.

    Raises:
        ValueError: B is no multiple of ``CELLS``.
    """
    if len(counts) % CELLS:
        raise ValueError(f"{len(counts)} bins are no multiple of {CELLS}")
    filters = int(counts.sum())
    if not filters:
        return PhenotypeScore(Phenotype.FEW, 0, *(float("nan"),) * 4)
    observed = _coarse(counts)
    edges = np.linspace(low, high, CELLS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    mean, covariance = _moments(observed / filters, centres)
    # Within a cell filters are spread: without this a layer in one cell would have no variance (Sheppard's correction
    # with the other sign: the Gaussian is compared after binning).
    covariance = covariance + np.eye(2) * (edges[1] - edges[0]) ** 2 / 12
    expected = _gaussian(mean, covariance, centres)
    share = observed / filters
    centre = _centre(share - expected, centres, origin, covariance)
    noise = np.sqrt(2 * expected * (1 - expected) / (np.pi * filters)).sum() / 2
    shape = max(0.0, float(np.abs(share - expected).sum() / 2 - noise))
    deviation = np.sqrt(np.maximum(expected * filters, 1.0))
    hot = (share > HOT * expected) & (observed - expected * filters > HOT_DEVIATIONS * deviation)
    hot_spots = float((share - expected)[hot].sum())
    bimodality = max(_bimodality(share.sum(axis=1), centres), _bimodality(share.sum(axis=0), centres))
    look = _look(filters, centre, hot_spots, shape, bimodality)
    return PhenotypeScore(look, filters, centre, hot_spots, shape, bimodality)


def _look(filters: int, centre: float, hot_spots: float, shape: float, bimodality: float) -> Phenotype:
    if filters < FEWEST_FILTERS:
        return Phenotype.FEW
    if centre >= POINT:
        return Phenotype.POINT
    if bimodality >= BIMODAL:
        return Phenotype.SYMBOLS  # two modes are hot spots of one Gaussian as well
    if hot_spots >= SPIKES:
        return Phenotype.SPIKES
    if shape >= SYMBOLS:
        return Phenotype.SYMBOLS
    return Phenotype.SUN


def _coarse(counts: npt.NDArray[np.integer]) -> Float64:
    factor = len(counts) // CELLS
    merged = counts.reshape(CELLS, factor, CELLS, factor).sum(axis=(1, 3))
    result: Float64 = merged.astype(np.float64)
    return result


def _moments(share: Float64, centres: Float64) -> tuple[Float64, Float64]:
    x, y = share.sum(axis=1), share.sum(axis=0)
    mean = np.array([x @ centres, y @ centres])
    dx, dy = centres - mean[0], centres - mean[1]
    mixed = dx @ share @ dy
    return mean, np.array([[x @ dx**2, mixed], [mixed, y @ dy**2]])


def _gaussian(mean: Float64, covariance: Float64, centres: Float64) -> Float64:
    """(B, B) probabilities of a Gaussian in the cells, by its density at 3 x 3 points of each."""
    width = centres[1] - centres[0]
    fine = (centres[:, None] + np.array([-1, 0, 1]) * width / 3).ravel()
    dx, dy = (fine - mean[0])[:, None], (fine - mean[1])[None, :]
    precision = np.linalg.inv(covariance)
    exponent = precision[0, 0] * dx**2 + 2 * precision[0, 1] * dx * dy + precision[1, 1] * dy**2
    density = np.exp(-exponent / 2)
    cells = density.reshape(len(centres), 3, len(centres), 3).sum(axis=(1, 3))
    result: Float64 = cells / cells.sum()
    return result


def _centre(excess: Float64, centres: Float64, origin: tuple[float, float], covariance: Float64) -> float:
    """Share of filters in the cells near the origin, beyond the Gaussian's."""
    spread = max(CENTRE_RADIUS * np.sqrt(np.trace(covariance) / 2), (centres[1] - centres[0]) * 0.75)
    near = (centres[:, None] - origin[0]) ** 2 + (centres[None, :] - origin[1]) ** 2 <= spread**2
    return float(excess[near].sum())


def _bimodality(share: Float64, centres: Float64) -> float:
    """Sarle's coefficient of a binned distribution; 1 (its largest value) where there is no variance."""
    deviation = centres - share @ centres
    variance = float(share @ deviation**2)
    if variance <= 0:
        return 1.0
    skewness, kurtosis = share @ deviation**3 / variance**1.5, share @ deviation**4 / variance**2
    return float((skewness**2 + 1) / kurtosis)
