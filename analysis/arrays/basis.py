"""The basis all groups are compared in: PCA of the scaled filters, range and bins of the histograms (DESIGN §4)."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.arrays.kernels import Binning, Projection
from analysis.arrays.moments import Moments
from analysis.arrays.types import Float64
from analysis.settings import DEFAULT_BINS
from distributed.errors import UserError

#: f / max|f|, per filter.
SCALING = "max_abs"


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalAxes:
    """PCA with all nine components: ``mean`` (9,), ``components`` (9, 9) in rows, ``explained_variance_ratio`` (9,)."""

    mean: Float64
    components: Float64
    explained_variance_ratio: Float64
    filters: int

    @classmethod
    def from_moments(cls, moments: Moments) -> PrincipalAxes:
        """Eigenvectors of the covariance by falling variance; the entry of largest magnitude of each is positive.

        Equal to ``sklearn.decomposition.PCA(9)`` (scikit-learn >= 1.5) on the filters themselves, without them.

        Raises:
            UserError: there are fewer than two filters, or all of them are equal up to their scale.
        """
        if moments.count < 2:
            raise UserError(f"a basis needs at least 2 filters, the selection holds {moments.count}")
        variances, vectors = np.linalg.eigh(moments.covariance)
        variances, components = np.maximum(variances[::-1], 0.0), np.ascontiguousarray(vectors[:, ::-1].T)
        # The second moment is at most 9: a total this small is the rounding of equal filters.
        if not variances.sum() > 1e-14:
            raise UserError(f"all {moments.count} filters are equal up to their scale: there is no variance to compare")
        largest = components[np.arange(9), np.abs(components).argmax(axis=1)]
        components *= np.where(largest < 0, -1.0, 1.0)[:, None]
        return cls(moments.mean, components, variances / variances.sum(), moments.count)

    @property
    def projection(self) -> Projection:
        """Coefficients of a scaled filter: (scaled − mean) · componentsᵀ."""
        return Projection(self.components, -self.components @ self.mean)

    def with_range(self, low: float, high: float, bins: int = DEFAULT_BINS) -> Basis:
        """The basis with this range of coefficients."""
        return Basis(self.mean, self.components, self.explained_variance_ratio, low, high, bins, self.filters)


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Principal axes, the range of all coefficients, and the number of bins. Frozen: two equal digests are comparable.

    Attributes:
        mean: (9,) of the scaled filters.
        components: (9, 9), one component a row, by falling variance.
        explained_variance_ratio: (9,), sums to 1.
        low: smallest coefficient of all filters and components.
        high: largest.
        bins: equal bins over [low, high], the last one closed.
        filters: how many filters it was made from; not part of its identity.
    """

    mean: Float64
    components: Float64
    explained_variance_ratio: Float64
    low: float
    high: float
    bins: int
    filters: int

    def __post_init__(self) -> None:
        for name, shape in (("mean", (9,)), ("components", (9, 9)), ("explained_variance_ratio", (9,))):
            value = np.ascontiguousarray(getattr(self, name), np.float64).copy()
            if value.shape != shape or not np.isfinite(value).all():
                raise ValueError(f"{name} must hold {shape} finite numbers")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"range must be two rising finite numbers, not {self.low}, {self.high}")
        if self.bins < 1:
            raise ValueError(f"bins must be at least 1, not {self.bins}")

    @property
    def digest(self) -> str:
        """32 hex digits over mean, components, explained variance ratio, range, bins and scaling, to the last bit."""
        content = hashlib.sha256(f"{SCALING}\n{self.bins}\n".encode())
        parts = (self.mean, self.components, self.explained_variance_ratio, np.array([self.low, self.high]))
        for part in parts:
            # -0.0 and 0.0 are the same number.
            content.update(np.ascontiguousarray(part + 0.0, "<f8").tobytes())
        return content.hexdigest()[:32]

    @property
    def edges(self) -> Float64:
        """(bins + 1,) edges of the bins."""
        return np.linspace(self.low, self.high, self.bins + 1)

    @property
    def projection(self) -> Projection:
        """Coefficients of a scaled filter: (scaled − mean) · componentsᵀ."""
        return Projection(self.components, -self.components @ self.mean)

    @property
    def binning(self) -> Binning:
        """The bins, for the kernels."""
        return Binning(self.low, self.high, self.bins)

    def belongs_to(self, axes: PrincipalAxes) -> bool:
        """Whether this is the basis of the same filters, up to the rounding of another machine's linear algebra."""
        pairs = (
            (self.mean, axes.mean),
            (self.components, axes.components),
            (self.explained_variance_ratio, axes.explained_variance_ratio),
        )
        return self.filters == axes.filters and all(np.allclose(a, b, rtol=0, atol=1e-9) for a, b in pairs)

    def to_json(self) -> str:
        """JSON that ``from_json`` reads back to the last bit."""
        content = {
            "mean": self.mean.tolist(),
            "components": self.components.tolist(),
            "explained_variance_ratio": self.explained_variance_ratio.tolist(),
            "range": [float(self.low), float(self.high)],
            "bins": self.bins,
            "scaling": SCALING,
            "filters": self.filters,
            "digest": self.digest,
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str = "basis") -> Basis:
        """The basis in ``text``; ``origin`` names it in errors.

        Raises:
            UserError: it is not a basis, or its numbers are not those its digest was made from.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            if content.get("scaling", SCALING) != SCALING:
                raise ValueError(f"scaling {content['scaling']!r} is unknown, expected {SCALING!r}")
            low, high = content["range"]
            basis = cls(
                np.array(content["mean"], np.float64),
                np.array(content["components"], np.float64),
                np.array(content["explained_variance_ratio"], np.float64),
                float(low),
                float(high),
                _whole(content["bins"]),
                _whole(content["filters"]),
            )
            digest = content["digest"]
        except KeyError as error:
            raise UserError(f"{origin} is not a basis: {error.args[0]!r} is missing") from error
        except (ValueError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise UserError(f"{origin} is not a basis: {error}") from error
        if digest != basis.digest:
            raise UserError(
                f"{origin} is damaged or was edited: its digest says {digest}, its numbers give {basis.digest}; "
                "take the file that the shift wrote"
            )
        return basis

    @classmethod
    def read(cls, path: Path) -> Basis:
        """The basis in a file.

        Raises:
            UserError: it cannot be read or is not a whole basis.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the basis {path}: {error}") from error
        return cls.from_json(text, str(path))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a whole number")
    return value
