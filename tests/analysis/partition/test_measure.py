"""Partition: what is planted is found where it was planted, what cannot be told is refused; files, terminal, report."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.measures.drift import DIVERGENCES
from analysis.partition import PartitionSettings, measure_partition
from analysis.partition.__main__ import main
from analysis.partition.measure import PartitionResult
from analysis.report import ReportSettings, measure_report
from analysis.report.cards import Cards
from analysis.report.partition import partition_section
from analysis.selection.view import StoreView
from analysis.settings import Middle, Unit
from analysis.shift import ShiftSettings, measure_shift
from distributed.errors import UserError
from distributed.store.settings import StoreSettings
from tests import cli
from tests.checkpoints import real_models
from tests.stores import Layer, Model, blob_filters, write_store

FACTORS = ("task", "architecture")


def planted() -> list[Model]:
    """24 models: tasks differ in their deep layers, recipes in nothing; one has no architecture; groups in threes."""
    random = np.random.default_rng(11)
    models = []
    for index in range(24):
        task, net, recipe = index % 2, (index // 2) % 3, (index // 6) % 2
        layers = [
            Layer(f"conv{i}", i, i / 3, blob_filters(random, 300, 0.3 + 0.1 * net + (0.35 * task if i == 3 else 0.0)))
            for i in range(4)
        ]
        columns = {
            "task": ("denoise", "segment")[task],
            "architecture": None if index == 23 else f"net{net}",
            "family": f"net{net} v{recipe}",
            "recipe": f"r{recipe}",
        }
        models.append(Model(f"model{index:02}", layers, columns))
    return models


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("partition") / "store", planted())


def settings(store: Path, **others: object) -> PartitionSettings:
    return PartitionSettings(StoreSettings(str(store)), **({"factors": FACTORS} | others))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def result(store: Path) -> PartitionResult:
    return measure_partition(settings(store, factors=(*FACTORS, "recipe"), permutations=299))


def test_what_is_planted_is_found_where_it_was_planted(result: PartitionResult) -> None:
    margin = result.whole.margin
    assert margin.df.tolist() == [1, 2, 1]
    assert (margin.p[:2] < 0.01).all()
    assert margin.p[2] > 0.05
    assert margin.r2[2] < 3 * margin.r2_chance[2]
    depths = {part.name: part.permanova for part in result.parts if part.of == "depth"}
    assert len(depths) == 4
    deep, first = depths["(0.9, 1.0]"], depths["[0.0, 0.1]"]
    assert deep is not None
    assert first is not None
    assert deep.margin.r2[0] > 3 * first.margin.r2[0]
    assert deep.margin.p[0] < 0.01
    assert first.margin.p[0] > 0.05
    assert "left out, no value on a factor: 1 model of 24 (architecture 1)" in result.notes
    assert (result.extent.models, result.parts[0].observations) == (23, 23)


def test_components_add_up_to_the_whole(result: PartitionResult) -> None:
    weights = result.sketch.basis.explained_variance_ratio
    components = [part.permanova for part in result.parts if part.of == "component"]
    assert len(components) == 9
    found = [each for each in components if each is not None]
    np.testing.assert_allclose(weights @ [each.terms.ss for each in found], result.whole.terms.ss, rtol=1e-9)
    np.testing.assert_allclose(weights @ [each.total_ss for each in found], result.whole.total_ss, rtol=1e-9)
    assert result.whole.terms.ss.sum() + result.whole.residual_ss == pytest.approx(result.whole.total_ss, rel=1e-12)


def test_distances_are_those_of_shift_on_real_models(checkpoints: Path, tmp_path: Path) -> None:
    """Jensen–Shannon of every two models, however either command gets there; task against visual category."""
    path = write_store(tmp_path / "store", real_models(checkpoints))
    found = measure_partition(settings(path, factors=("task", "visual_category"), axes=(), by_component=False))
    by_model = ShiftSettings(StoreSettings(str(path)), axes=("model",), divergence="js", replicates=0)
    (shift,) = measure_shift(by_model).shifts
    order = [found.models.index(name) for name in shift.grouping.names]
    np.testing.assert_allclose(found.squared[np.ix_(order, order)], shift.drift, rtol=1e-9, atol=1e-15)
    assert found.whole.margin.p[0] < 0.05
    assert found.confounding.to_pylist()[0]["relation"] == "crossed"


@pytest.mark.parametrize("distance", ["kl", "tv", "wasserstein"])
def test_other_distances_and_weights(store: Path, distance: str) -> None:
    plain = {"axes": (), "by_component": False, "permutations": 0, "middle": Middle.centroid}
    found = measure_partition(settings(store, distance=distance, weight="layers", **plain))
    assert any("no metric" in note for note in found.notes) == (distance == "kl")
    assert DIVERGENCES[distance].title in found.distance
    assert np.isnan(found.whole.margin.p).all()
    assert np.isnan(found.dispersions[0].p)
    assert found.whole.terms.r2[0] > 0.05


def with_lineage(store: Path, names: list[str | None]) -> StoreView:
    """The store as it is where lineages are known: one name a model, in the order of ``planted``."""
    view = StoreView.open(StoreSettings(str(store)))
    of_model = {f"model{index:02}": name for index, name in enumerate(names)}
    column = pa.array([of_model[name] for name in view.flat.column("name").to_pylist()], pa.string())
    flat = view.flat.drop_columns(["lineage"]) if "lineage" in view.flat.column_names else view.flat
    return replace(view, flat=flat.append_column("lineage", column))


def test_a_lineage_counts_once_and_stays_together(store: Path) -> None:
    """Models 0, 6, 12, 18 agree on task and architecture: one observation where they are one lineage."""
    names = [f"line{index % 6}" if index % 6 == 0 else None for index in range(24)]
    view, plain = with_lineage(store, names), {"axes": (), "by_component": False}
    by_model = measure_partition(settings(store, **plain), view)
    by_line = measure_partition(settings(store, unit=Unit.lineage, **plain), view)
    assert (by_model.parts[0].observations, by_line.parts[0].observations) == (23, 20)
    assert "unit=lineage: 23 models are 20 observations of 20 lineages" in by_line.notes
    assert by_line.whole.residual_df == by_model.whole.residual_df - 3
    assert by_line.whole.margin.p[0] < 0.01


def test_strata_hold_labels_back(store: Path) -> None:
    view = with_lineage(store, [f"line{index // 4}" for index in range(24)])
    plain = {"axes": (), "by_component": False}
    within = measure_partition(settings(store, strata="lineage", factors=("task",), **plain), view)
    assert within.whole.margin.p[0] < 0.01
    assert [row["b"] for row in within.confounding.to_pylist()] == ["lineage"]
    by_net = measure_partition(settings(store, strata="family", **plain))
    assert np.isnan(by_net.whole.margin.p).tolist() == [False, True]
    assert any(note.startswith("architecture: no p, as it never differs within family") for note in by_net.notes)
    few = measure_partition(
        settings(store, factors=("task",), where="name in ('model00','model01','model02')", **plain)
    )
    assert few.whole.terms.p[0] in (1 / 3, 2 / 3, 1.0)
    assert "only 3 arrangements of the labels, all taken: no p can be below 0.33" in few.notes
    with pytest.raises(UserError, match="models of one unit lie in several strata of recipe"):
        measure_partition(settings(store, strata="recipe", unit=Unit.lineage, **plain), with_lineage(store, ["x"] * 24))


def test_what_cannot_be_asked_is_refused_in_one_line(store: Path) -> None:
    for others, said in (
        ({"factors": ("task", "task")}, "task is named more than once"),
        ({"factors": ()}, "give a list of names"),
        ({"factors": ("task", "depth")}, "depth differs between the layers of one model"),
        ({"factors": ("task", "colour")}, "there is no axis 'colour'"),
        ({"factors": ("architecture", "family")}, "factor family is nested in architecture"),
        ({"factors": ("license",)}, "no model has a value on all of license: license: 0 of 24"),
        ({"factors": ("model",)}, "factor model has another value for each of 24 observations"),
        ({"where": "task = 'segment'"}, "factor task is segment for all of 11 observations"),
        ({"strata": "task"}, "strata=task is one of the factors"),
        ({"distance": "euclid"}, "distance=euclid: there are kl, js, wasserstein, tv"),
    ):
        with pytest.raises(UserError) as raised:
            measure_partition(settings(store, **others))
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)


def test_the_command_says_confounding_first_and_leaves_tables(store: Path, tmp_path: Path) -> None:
    arguments = (f"store.uri={store}", "factors=[task,architecture]", "permutations=99", f"out={tmp_path}/out")
    said = cli.called(main, *arguments, "distances=true", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    at = [said.stdout.index(text) for text in ("Confounding", "What explains", "spread", "By component")]
    assert at == sorted(at)
    out = tmp_path / "out"
    rows = pq.read_table(out / "partition.parquet").to_pylist()
    whole = [row for row in rows if row["of"] == "all"]
    assert [(row["by"], row["factor"]) for row in whole] == [
        *(("terms", factor) for factor in FACTORS),
        *(("margin", factor) for factor in FACTORS),
        *(("all", each) for each in ("(shared)", "(residual)", "(total)")),
    ]
    assert sum(row["r2"] for row in whole[2:6]) == pytest.approx(1.0)
    assert {row["part"] for row in rows if row["of"] == "component"} == {str(i) for i in range(1, 10)}
    spread = pq.read_table(out / "dispersion.parquet").to_pylist()
    assert {row["group"] for row in spread if row["factor"] == "task"} == {"denoise", "segment"}
    assert sum(row["observations"] for row in spread if row["factor"] == "task") == 23
    with (out / "confounding.csv").open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["relation"] == "crossed"
    distances = pq.read_table(out / "distances.parquet").to_pandas().set_index("model")
    assert (distances.columns == distances.index).all()
    for name in ("partition", "confounding", "dispersion_task", "dispersion_architecture"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_says_which_axes_are_factors(store: Path) -> None:
    axes = ("task", "architecture", "family", "depth", "license")
    report = measure_report(ReportSettings(StoreSettings(str(store)), axes=axes, replicates=0, figures=False))
    found = report.partition.result
    assert found is not None
    assert found.settings.factors == ("task", "architecture")
    (note,) = report.partition.notes
    assert note.startswith("family is not among the factors: factor family is nested in architecture")
    cards = Cards({}, {}, {"partition": "python -m analysis.partition …"}, "versions")
    text = partition_section(report, cards)
    assert text.index("Confounding") < text.index("What each factor explains") < text.index(note.split(":")[0])
    adds = next(column for column in cards.tables[1]["columns"] if column["title"] == "adds, %")
    expected = [*found.whole.margin.r2, found.whole.shared, 1 - found.whole.r2]
    assert adds["values"] == pytest.approx([100 * share for share in expected], rel=1e-4)
    alone = measure_report(ReportSettings(StoreSettings(str(store)), axes=("depth",), replicates=0, figures=False))
    assert alone.partition.result is None
    assert "No factor to compare" in partition_section(alone, cards)
