"""Ridges and two-dimensional densities against NumPy's histograms, looks of synthetic layers, pictures, errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import analysis.coefficients.measure as coefficients_module
from analysis.arrays.basis import Basis
from analysis.arrays.kernels import Binning, NonFiniteFilterError, Projection
from analysis.arrays.kernels.pairs import count_pairs
from analysis.coefficients import CoefficientsSettings, measure_coefficients
from analysis.coefficients.__main__ import steps
from analysis.coefficients.measure import CoefficientsResult
from analysis.command import carry_out
from analysis.measures.drift import distributions
from analysis.measures.phenotypes import Phenotype, phenotype_of
from analysis.pictures.canvas import Caption
from analysis.pictures.densities import DensityPanel, draw_densities
from analysis.pictures.ridges import draw_ridges
from analysis.scanning.densities import checked_pairs, pair_densities
from analysis.scanning.thread_workers import ThreadWorkers
from analysis.scanning.units import LayerIndex
from analysis.selection.grouping import Group, Grouping
from distributed.errors import StoreError, UserError
from distributed.overrides import quoted_texts
from distributed.store.settings import StoreSettings
from tests import reference
from tests.analysis.pictures.checks import assert_nothing_is_cut, texts
from tests.analysis.scanning.stores import make_store
from tests.stores import random_filters, sample_models, write_store

LOW, HIGH = -2.5, 2.75


def projection() -> Projection:
    rotation, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((9, 9)))
    return Projection(rotation, np.linspace(-0.2, 0.3, 9))


def by_numpy(filters: np.ndarray, where: Projection, pair: tuple[int, int], bins: int) -> np.ndarray:
    """``numpy.histogram2d`` of the float64 coefficients."""
    coefficients = reference.scale(filters) @ where.matrix.T + where.offset
    first, second = coefficients[:, pair[0]], coefficients[:, pair[1]]
    return np.histogram2d(first, second, bins=bins, range=[[LOW, HIGH]] * 2)[0]


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 5000])
def test_pairs_are_counted_as_numpy_does(rows: int) -> None:
    generator = np.random.default_rng(rows)
    filters = random_filters(generator, rows)
    cuts = np.sort(generator.integers(0, rows + 1, 4))
    starts = np.array([0, *cuts, rows])
    targets = np.array([1, 0, -1, 1, 2])
    pairs = np.array([[0, 1], [4, 2], [8, 7]])
    counts = np.zeros((4, 3, 30, 30), np.uint32)
    columns = [np.ascontiguousarray(filters[:, k]) for k in range(9)]
    count_pairs(columns, starts, targets, projection(), Binning(LOW, HIGH, 30), pairs, counts)
    for target in range(4):
        runs = [filters[starts[r] : starts[r + 1]] for r in range(5) if targets[r] == target]
        mine = np.concatenate([np.zeros((0, 9), np.float32), *runs])
        for p, pair in enumerate(pairs):
            np.testing.assert_array_equal(counts[target, p], by_numpy(mine, projection(), tuple(pair), 30))
    before = counts.copy()
    count_pairs(columns, starts, targets, projection(), Binning(LOW, HIGH, 30), pairs, counts)
    np.testing.assert_array_equal(counts, 2 * before)  # added to, not replaced


def test_outside_the_range_in_either_component_is_not_counted() -> None:
    filters = random_filters(np.random.default_rng(1), 2000)
    columns = [np.ascontiguousarray(filters[:, k]) for k in range(9)]
    counts = np.zeros((1, 1, 10, 10), np.uint32)
    targets, starts = np.zeros(1, np.int64), np.array([0, 2000])
    count_pairs(columns, starts, targets, projection(), Binning(-0.3, 0.4, 10), np.array([[0, 3]]), counts)
    coefficients = (reference.scale(filters) @ projection().matrix.T + projection().offset)[:, [0, 3]]
    inside = ((coefficients >= -0.3) & (coefficients <= 0.4)).all(axis=1).sum()
    assert counts.sum() == inside
    assert 0 < inside < 2000


def test_kernel_refuses_what_it_cannot_count() -> None:
    columns = [np.ones(300, np.float32) for _ in range(9)]
    columns[4][290] = np.inf
    good = {
        "columns": columns,
        "starts": np.array([0, 300]),
        "targets": np.array([0]),
        "projection": projection(),
        "binning": Binning(LOW, HIGH, 12),
        "pairs": np.array([[0, 1]]),
        "counts": np.zeros((1, 1, 12, 12), np.uint32),
    }
    with pytest.raises(NonFiniteFilterError) as caught:
        count_pairs(**good)  # type: ignore[arg-type]
    assert caught.value.row == 290
    for change in (
        {"starts": np.array([0, 299])},
        {"targets": np.array([1])},
        {"targets": np.array([0, 0])},
        {"pairs": np.array([[0, 9]])},
        {"counts": np.zeros((1, 1, 12, 13), np.uint32)},
        {"columns": columns[:8]},
    ):
        with pytest.raises(ValueError, match=r"must|needed"):
            count_pairs(**{**good, **change})  # type: ignore[arg-type]


def grouping_of(layers: list[int], codes: list[int], axis: str = "task") -> Grouping:
    groups = tuple(Group(f"g{code}", f"g{code} (1)", 1, 1, 1) for code in range(max(codes) + 1))
    return Grouping(axis, groups, np.array(layers), np.array(codes))


def synthetic_basis() -> Basis:
    where = projection()
    mean = -where.matrix.T @ where.offset  # so that the basis's own projection has this offset
    return Basis(mean, where.matrix, np.full(9, 1 / 9), LOW, HIGH, 70, 100)


def test_densities_of_several_axes_in_one_pass(tmp_path: Path) -> None:
    made = make_store(tmp_path / "store", [[700, 30, 500], [900], [256, 1]], row_group=300)
    ids = sorted(made.filters)
    index = LayerIndex.from_table(made.layers)
    # Layer 1 belongs to no group of the first axis; the last model to none of either: it is not read.
    first = grouping_of([ids[0], ids[2], ids[3]], [0, 1, 0])
    second = grouping_of([ids[3], ids[1]], [0, 1], "depth")
    found = pair_densities(
        made.store, index, [first, second], synthetic_basis(), ((1, 2), (9, 3)), ThreadWorkers(2), bins=48
    )
    for grouping, densities in zip((first, second), found, strict=True):
        for g in range(2):
            layers = grouping.layer_ids[grouping.codes == g].tolist()
            filters = np.concatenate([made.filters[layer] for layer in layers])
            assert densities.filters[g] == len(filters)
            for p, pair in enumerate([(0, 1), (8, 2)]):
                expected = by_numpy(filters, projection(), pair, 48)
                np.testing.assert_array_equal(densities.counts[g, p], expected)
    assert found[0].time.models == 2
    assert found[0].time.filters == 700 + 30 + 500 + 900
    made.path(made.model_ids[1]).write_bytes(b"PAR1 nonsense")
    with pytest.raises(StoreError, match="extract"):
        pair_densities(made.store, index, [first], synthetic_basis(), ((1, 2),), ThreadWorkers(2), bins=24)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("coefficients") / "store", sample_models())


def settings_for(store: Path, **changes: object) -> CoefficientsSettings:
    return replace(CoefficientsSettings(StoreSettings(str(store)), axes=("task",)), **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def result(store: Path) -> CoefficientsResult:
    return measure_coefficients(settings_for(store, axes=("task", "depth"), pairs=([1, 2], [3, 4])))


def test_ridges_are_the_distributions_that_drift_is_made_of(result: CoefficientsResult) -> None:
    everything = np.concatenate([layer.filters for model in sample_models() for layer in model.layers])
    basis = reference.principal(everything)
    coefficients = reference.coefficients(everything, basis)
    low, high = coefficients.min(), coefficients.max()
    ridges = result.ridges[0]
    for g, group in enumerate(ridges.grouping.groups):
        mine = [
            layer.filters for model in sample_models() if model.columns["task"] == group.name for layer in model.layers
        ]
        own = reference.coefficients(np.concatenate(mine), basis)
        for component in range(9):
            expected = reference.distribution(own[:, component], low, high)
            np.testing.assert_allclose(ridges.probabilities[g, component], expected, rtol=1e-9)
        counts = np.stack([np.histogram(own[:, c], bins=70, range=(low, high))[0] for c in range(9)])
        same = distributions(counts[None], result.basis.explained_variance_ratio, low, high).probabilities[0]
        np.testing.assert_allclose(ridges.probabilities[g], same, rtol=1e-9)
    table = ridges.table()
    assert table.num_rows == 3 * 9 * 70
    np.testing.assert_allclose((ridges.densities * np.diff(ridges.edges)).sum(axis=2), 1.0)
    row = table.slice((1 * 9 + 4) * 70 + 33, 1).to_pylist()[0]
    assert (row["group"], row["component"]) == ("Denoising", 5)
    assert row["probability"] == ridges.probabilities[1, 4, 33]
    assert row["low"] == ridges.edges[33]


def test_densities_of_groups_from_the_command(result: CoefficientsResult) -> None:
    everything = np.concatenate([layer.filters for model in sample_models() for layer in model.layers])
    basis = reference.principal(everything)
    part = result.densities[0]
    for g, group in enumerate(part.grouping.groups):
        mine = [
            layer.filters for model in sample_models() if model.columns["task"] == group.name for layer in model.layers
        ]
        own = reference.coefficients(np.concatenate(mine), basis)
        counts = np.histogram2d(own[:, 2], own[:, 3], bins=96, range=[[part.densities.low, part.densities.high]] * 2)[0]
        found = part.densities.counts[g, 1]
        # The basis of another linear algebra differs in the last digits: values on an edge may change sides.
        assert np.abs(found - counts).sum() <= 2
        assert found.sum() == len(own)
    rows = part.table()
    assert rows.num_rows == int((part.densities.counts > 0).sum())
    area = ((part.densities.high - part.densities.low) / 96) ** 2
    total = sum(r["density"] for r in rows.to_pylist() if (r["group"], r["first"]) == ("Denoising", 1)) * area
    assert total == pytest.approx(1.0)


def test_no_pairs_no_pass(result: CoefficientsResult, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("workers were asked for")

    monkeypatch.setattr(coefficients_module, "scan_workers", refuse)
    found = measure_coefficients(settings_for(store))
    assert found.densities == ()
    np.testing.assert_array_equal(found.ridges[0].probabilities, result.ridges[0].probabilities)


def test_layers_and_files(store: Path, result: CoefficientsResult, tmp_path: Path) -> None:
    settings = settings_for(store, pairs=([2, 1],), layers="name in ('alpha', 'gamma')", out=str(tmp_path / "out"))
    assert carry_out(steps(), settings) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"ridges_task.png", "ridges_task.csv", "densities_layer.parquet", "phenotypes_layer.csv"} <= written
    assert {"densities_layer_alpha_2-1.png", "densities_layer_gamma_2-1.png"} <= written
    looks = pq.read_table(tmp_path / "out" / "phenotypes_layer.parquet")
    assert looks.num_rows == 6
    cells = pq.read_table(tmp_path / "out" / "densities_layer.parquet").to_pylist()
    alpha = sample_models()[0]
    for layer in alpha.layers:
        counted = sum(row["count"] for row in cells if row["group"] == f"alpha: {layer.name}")
        assert counted == len(layer.filters)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pairs": ([1, 10],)}, r"\[1, 10\] is not a pair of different components"),
        ({"pairs": ([2, 2],)}, "is not a pair"),
        ({"pairs": ([1, 2, 3],)}, "is not a pair"),
        ({"layers": "true"}, "name pairs of components as well"),
        ({"pairs": ([1, 2],), "layers": "nonsense > 3"}, "layers='nonsense > 3'"),
        ({"pairs": ([1, 2],), "density_bins": 100}, "give a multiple of 24"),
        ({"pairs": ([1, 2],), "density_bins": 24000}, "density_bins=24000: give 24 to 2,400"),
        ({"pairs": [[a, b] for a in range(1, 9) for b in range(a + 1, 10)], "density_bins": 2400}, "too many cells"),
        ({"axes": ("nonsense",)}, "there is no axis 'nonsense'"),
        ({"axes": ()}, "axes is empty"),
        ({"bins": 1}, "bins=1"),
    ],
)
def test_wrong_settings(store: Path, result: CoefficientsResult, changes: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        measure_coefficients(settings_for(store, **changes))
    assert "\n" not in str(caught.value)


def test_pairs_are_taken_once_and_in_order() -> None:
    assert checked_pairs(([3, 4], [1, 2], [3, 4])) == ((3, 4), (1, 2))
    with pytest.raises(UserError, match="is not a pair"):
        checked_pairs(([True, 2],))


def test_sql_of_layers_is_quoted_for_hydra() -> None:
    given = ["layers=name = 'it'", "axes=[task]"]
    assert quoted_texts(given, CoefficientsSettings) == [r"layers='name = \'it\''", "axes=[task]"]


def counted(points: np.ndarray) -> np.ndarray:
    return np.histogram2d(points[:, 0], points[:, 1], bins=96, range=[[LOW, HIGH]] * 2)[0].astype(np.int64)


def look(points: np.ndarray) -> Phenotype:
    return phenotype_of(counted(points), LOW, HIGH, (0.02, -0.01)).phenotype


@pytest.mark.parametrize("number", [300, 3000, 100_000])
def test_looks_of_made_up_layers(number: int) -> None:
    generator = np.random.default_rng(number)
    gaussian = generator.normal(size=(number, 2)) @ np.array([[0.7, 0.0], [0.3, 0.45]])
    assert look(gaussian) is Phenotype.SUN
    assert look(gaussian + 0.4) is Phenotype.SUN
    zeros = generator.random(number) < 0.45
    assert look(np.where(zeros[:, None], [0.02, -0.01], gaussian)) is Phenotype.POINT
    hot = generator.random(number) < 0.3
    spots = np.array([[0.9, 0.8], [-1.1, 0.5], [0.3, -1.2]])[generator.integers(0, 3, number)]
    assert look(np.where(hot[:, None], spots + generator.normal(size=(number, 2)) * 0.03, gaussian)) is Phenotype.SPIKES
    side = np.sign(generator.random(number) - 0.5)[:, None] * [1.4, 0.0]
    assert look(side + generator.normal(size=(number, 2)) * [0.3, 0.5]) is Phenotype.SYMBOLS
    assert look(gaussian[:200]) is Phenotype.FEW


def test_sampling_alone_gives_no_score() -> None:
    generator = np.random.default_rng(0)
    for number in (300, 3000, 100_000):
        score = phenotype_of(counted(generator.normal(size=(number, 2)) * 0.6), LOW, HIGH, (0, 0))
        assert score.shape < 0.02
        assert score.hot_spots < 0.02
        assert abs(score.centre) < 0.02
        assert score.bimodality == pytest.approx(1 / 3, abs=0.06)


def test_look_of_nothing_and_of_one_spot() -> None:
    nothing = phenotype_of(np.zeros((48, 48), np.int64), LOW, HIGH, (0, 0))
    assert nothing.phenotype is Phenotype.FEW
    assert np.isnan(nothing.shape)
    spot = np.zeros((48, 48), np.int64)
    spot[22, 22] = 1000
    centre = LOW + (HIGH - LOW) * 22.5 / 48
    assert phenotype_of(spot, LOW, HIGH, (centre, centre)).filters == 1000
    with pytest.raises(ValueError, match="multiple"):
        phenotype_of(np.zeros((50, 50), np.int64), LOW, HIGH, (0, 0))


@pytest.mark.parametrize("number", [1, 3, 12, pytest.param(60, marks=pytest.mark.slow)])
def test_pictures_cut_nothing_at_any_size(number: int) -> None:
    generator = np.random.default_rng(number)
    labels = [f"{'group ' * (k % 9)}$x_{{{k}}}$ <i>{k}</i> ({k})" for k in range(number)]
    edges = np.linspace(LOW, HIGH, 71)
    counts = np.stack([[np.histogram(generator.normal(size=400), bins=edges)[0] for _ in range(9)] for _ in labels])
    densities = distributions(counts, np.full(9, 1 / 9), LOW, HIGH).probabilities / np.diff(edges)
    ridges = draw_ridges(labels, densities, edges, np.full(9, 1 / 9), Caption("Coefficients by task", ("remark",)))
    assert_nothing_is_cut(ridges)
    assert sum(text.startswith("component ") for text in texts(ridges)) == 9
    panels = [
        DensityPanel(label, counted(generator.normal(size=(50 * k + 1, 2))), 50 * k + 1, Phenotype.SYMBOLS)
        for k, label in enumerate(labels)
    ]
    figure = draw_densities(panels, np.linspace(LOW, HIGH, 97), (1, 2), Caption("Densities by task", ("remark",)))
    assert_nothing_is_cut(figure)
    assert sum("symbols" in text for text in texts(figure)) == number
    assert not any("mathdefault" in text for text in texts(figure))


def test_empty_density_is_drawn() -> None:
    panel = DensityPanel("nothing", np.zeros((48, 48), np.int64), 0, Phenotype.FEW)
    figure = draw_densities([panel], np.linspace(LOW, HIGH, 49), (1, 2), Caption("Densities", ()))
    assert "0 filters" in texts(figure)
