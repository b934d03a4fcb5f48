"""What each paper shows that filters can give, and the figures that it prints (DESIGN §4, the authors' notebooks).

A figure is known by a key (``evr 1``, ``mean drift by task``) under which ``numbers`` measures the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed.errors import UserError
from distributed.suggestions import did_you_mean

#: Read off a figure: so much to either side.
_READ_OFF = 0.03


@dataclass(frozen=True, slots=True)
class Part:
    """One figure or table, as a command gives it.

    Attributes:
        name: of its folder.
        shows: what it shows in the paper.
        command: which gives it.
        settings: of the command, beyond the paper's preset. ``ROBUST`` in an axis stands for the column that says so.
    """

    name: str
    shows: str
    command: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """A number as printed; ``tolerance``: what rounding, or reading off a figure, leaves open."""

    key: str
    value: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Paper:
    """One publication.

    Attributes:
        title: of it.
        preset: how it computes (``conf/preset/``).
        parts: its figures and tables.
        published: its numbers.
        counts: of the published data, by key: a store is these data if it has exactly them. Empty: they are not known.
        robust: whether its models are robust or normal ones.
    """

    title: str
    preset: str
    parts: tuple[Part, ...]
    published: tuple[Published, ...]
    counts: Mapping[str, int]
    robust: bool = False


_EVR = (0.3982, 0.1833, 0.1170, 0.0985, 0.0658, 0.0552, 0.0301, 0.0282, 0.0237)
_DRIFTS = {"task": (0.17, 0.70), "visual_category": (0.43, 1.36), "depth": (0.04, 0.19)}
_DB_COUNTS = {"models": 647, "layers": 21_436, "filters": 1_464_797_156}

_DB_PARTS = (
    Part("structure", "Eigenfilters and explained variance", "structure", {"axes": ["task", "visual_category"]}),
    Part("shift", "Drift matrices and boxes", "shift", {"axes": ["task", "visual_category", "depth"]}),
    Part("ridges", "Distributions of coefficients", "coefficients", {"axes": ["visual_category", "task", "depth"]}),
    Part("phenotypes", "Densities of coefficients", "coefficients", {"axes": ["visual_category"], "pairs": [[1, 2]]}),
    Part("quality", "Sparsity, variance entropy, orthogonality, degenerate layers", "quality", {"axes": ["task"]}),
)
_DB_PUBLISHED = (
    *(Published(key, value, 0.0) for key, value in _DB_COUNTS.items()),
    Published("groups by task", 11, 0.0),
    Published("groups by visual_category", 16, 0.0),
    *(Published(f"evr {i}", value, 0.00005) for i, value in enumerate(_EVR, start=1)),
    *(Published(f"mean drift by {axis}", mean, _READ_OFF) for axis, (mean, _) in _DRIFTS.items()),
    *(Published(f"largest drift by {axis}", largest, _READ_OFF) for axis, (_, largest) in _DRIFTS.items()),
)

#: Data sets of the robustness paper → drift robust against normal: normal models once a pair, and once.
_ROBUST = {"CIFAR-10": (0.6217, 0.5533), "CIFAR-100": (0.1742, 0.1628), "ImageNet": (0.0181, 0.0161)}
_FIRST_LAYER = {"CIFAR-10": 0.472, "CIFAR-100": 0.626}
_ROBUST_COUNTS = {"robust filters": 615_863_744}

PAPERS: Mapping[str, Paper] = {
    "2201.08465": Paper(
        "An Empirical Investigation of Model-to-Model Distribution Shifts in Trained Convolutional Filters",
        "paper",
        _DB_PARTS,
        _DB_PUBLISHED,
        _DB_COUNTS,
    ),
    "2203.15331": Paper(
        "CNN Filter DB: An Empirical Investigation of Trained Convolutional Filters",
        "paper",
        _DB_PARTS,
        _DB_PUBLISHED,
        _DB_COUNTS,
    ),
    "2204.02481": Paper(
        "Adversarial Robustness through the Lens of Convolutional Filters",
        "robustness",
        (
            Part("structure", "Eigenfilters of robust and normal models", "structure", {"axes": ["ROBUST"]}),
            Part("shift", "Drift between robust and normal models", "shift", {"axes": ["training_dataset*ROBUST"]}),
            Part("depth", "The same by depth", "shift", {"axes": ["training_dataset*ROBUST*depth"]}),
            Part("ridges", "Distributions of coefficients", "coefficients", {"axes": ["training_dataset*ROBUST"]}),
            Part(
                "quality",
                "Sparsity, clean variance entropy, orthogonality by depth",
                "quality",
                {"axes": ["training_dataset*ROBUST", "training_dataset*ROBUST*depth"]},
            ),
        ),
        (
            *(Published(key, value, 0.0) for key, value in _ROBUST_COUNTS.items()),
            *(Published(f"drift robust, {name}, once a pair", each, 0.00005) for name, (each, _) in _ROBUST.items()),
            *(Published(f"drift robust, {name}, once", once, 0.00005) for name, (_, once) in _ROBUST.items()),
            *(Published(f"drift robust, {name}, first layer", d, 0.0005) for name, d in _FIRST_LAYER.items()),
        ),
        _ROBUST_COUNTS,
        robust=True,
    ),
    "2210.13799": Paper(
        "Does Medical Imaging learn different Convolution Filters?",
        "medical",
        (
            Part(
                "shift", "Drift by visual category, task, architecture", "shift", {"axes": ["visual_category", "task"]}
            ),
            Part("models", "Drift between medical models", "shift", {"axes": ["model"], "where": "MEDICAL"}),
            Part("ridges", "Distributions of coefficients", "coefficients", {"axes": ["visual_category"]}),
            Part(
                "densities",
                "Densities of medical models",
                "coefficients",
                {"axes": ["model"], "where": "MEDICAL", "pairs": [[1, 2]]},
            ),
            Part("quality", "Sparsity and variance entropy", "quality", {"axes": ["visual_category"]}),
        ),
        (),
        {},
    ),
}

#: What ``MEDICAL`` stands for in a condition; the published data name what the pictures are of.
MEDICAL = "lower(visual_category) LIKE 'medical%'"


def paper_named(name: str) -> Paper:
    """The paper of an arXiv number.

    Raises:
        UserError: it is none of these.
    """
    if name not in PAPERS:
        known = ", ".join(f"{number} ({paper.title})" for number, paper in PAPERS.items())
        raise UserError(f"paper={name}{did_you_mean(name, PAPERS)}: there are {known}")
    return PAPERS[name]
