"""Quality: equal to torchconvquality on real layers; groups, files, the command; one-line errors."""

from __future__ import annotations

import csv
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.command import carry_out
from analysis.measures.layer_quality import METRICS
from analysis.quality import QualitySettings, measure_quality
from analysis.quality.__main__ import main, steps
from analysis.quality.measure import QualityResult
from analysis.settings import Duplicates, Weight
from distributed.entry import guarded
from distributed.store.settings import StoreSettings
from tests import cli
from tests.checkpoints import real_models
from tests.distributed.statistics import reference
from tests.distributed.statistics.test_torchconvquality import peer_quality
from tests.reference import scale
from tests.stores import Model, chain, write_store

#: Our column → torchconvquality's.
PEER_COLUMNS = {
    "sparsity": "sparsity",
    "variance_entropy": "variance_entropy",
    "variance_entropy_normalized": "variance_entropy_norm",
    "variance_entropy_clean": "variance_entropy_clean",
    "variance_entropy_clean_normalized": "variance_entropy_clean_norm",
    "orthogonality": "orthogonality",
}


def settings(store: Path, out: Path | str = "quality", **others: object) -> QualitySettings:
    return QualitySettings(StoreSettings(str(store)), out=str(out), **others)  # type: ignore[arg-type]


def layers_of(result: QualityResult) -> dict[tuple[str, str], dict[str, object]]:
    return {(row["model"], row["layer"]): row for row in result.layers.to_pylist()}


# Parity


@pytest.fixture(scope="module")
def real(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Model], QualityResult]:
    models = real_models(checkpoints)
    store = write_store(tmp_path_factory.mktemp("real") / "store", models, with_filters=False)
    return models, measure_quality(settings(store, axes=("task",), duplicates=Duplicates.keep))


def test_every_real_layer_equals_torchconvquality(real: tuple[list[Model], QualityResult]) -> None:
    models, result = real
    ours = layers_of(result)
    assert len(ours) == 236
    compared = 0
    for model in models:
        for name, weight in ((layer.name, layer.weight) for layer in model.layers):
            expected = peer_quality(weight)
            row = ours[model.name, name]
            assert row["num_filters"] == expected["n"]
            for column, theirs in PEER_COLUMNS.items():
                if column == "orthogonality" and weight.shape[0] == 1:
                    assert row[column] is None
                    continue
                assert row[column] == pytest.approx(expected[theirs], abs=1e-4), (model.name, name, column)
                compared += 1
    assert compared >= 236 * 5


def test_every_real_layer_equals_the_transcription(real: tuple[list[Model], QualityResult]) -> None:
    """The same from DESIGN §4 in plain NumPy: also where the peer cannot be imported."""
    models, result = real
    ours = layers_of(result)
    for model in models:
        for name, weight in ((layer.name, layer.weight) for layer in model.layers):
            expected = reference.statistics(weight)
            row = ours[model.name, name]
            for column in METRICS:
                if column == "variance_entropy_clean_normalized":
                    clean = round((1 - row["sparsity"]) * row["num_filters"])
                    assert row[column] == pytest.approx(row["variance_entropy_clean"] / reference.threshold(clean))
                elif column == "distance_from_untrained":
                    scaled = scale(weight.reshape(-1, 9))
                    energies = np.linalg.eigvalsh(scaled.T @ scaled)
                    by_number = 8 * 1.0832 / (len(scaled) + 0.0832)
                    assert row[column] == pytest.approx(energies.var() / energies.mean() ** 2 - by_number, abs=1e-9)
                elif expected[column] is None:
                    assert row[column] is None
                else:
                    assert row[column] == pytest.approx(expected[column], abs=1e-9), (model.name, name, column)
            assert row["random_threshold"] == pytest.approx(reference.threshold(row["num_filters"]), abs=1e-12)


def test_real_layers_are_degenerate_by_the_rule(real: tuple[list[Model], QualityResult]) -> None:
    _, result = real
    expected = set()
    for key, row in layers_of(result).items():
        threshold = reference.threshold(row["num_filters"])
        if row["variance_entropy"] >= threshold - 0.02:
            expected.add((*key, "random"))
        elif row["variance_entropy"] < 0.5 and row["sparsity"] >= 0.14:
            expected.add((*key, "collapsed"))
    found = {(row["model"], row["layer"], row["degenerate"]) for row in result.degenerate.to_pylist()}
    assert found == expected
    assert ("deepcr_mask_f435w", "module.inc.conv.conv.0.weight", "random") in found


# The table


def made_up() -> list[Model]:
    generator = np.random.default_rng(3)

    def plain(out: int, inputs: int) -> np.ndarray:
        filters = generator.normal(size=(out * inputs, 9)) @ np.diag([9, 4, 2, 1, 0.7, 0.5, 0.3, 0.2, 0.1])
        return filters.reshape(out, inputs, 3, 3).astype(np.float32)

    noise = generator.normal(size=(16, 16, 3, 3)).astype(np.float32)
    collapsed = (generator.normal(size=(16, 16, 1, 1)) * np.arange(1, 10).reshape(3, 3)).astype(np.float32)
    collapsed[::4] = 0
    return [
        chain("good", {f"conv{i}": plain(8, 4 * (i + 1)) for i in range(4)}, {"task": "One", "visual_category": "x"}),
        chain("noisy", {"stem": plain(8, 3), "random": noise}, {"task": "One"}),
        chain("dead", {"stem": plain(8, 3), "rank1": collapsed, "zero": np.zeros((4, 4, 3, 3))}, {"task": "Two"}),
        chain("small", {"pair": plain(2, 1), "one": plain(1, 1), "row": plain(1, 20)}, {"task": "Two"}),
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("quality") / "store", made_up(), with_filters=False)


def test_degenerate_layers_are_listed_with_model_and_name(store: Path) -> None:
    result = measure_quality(settings(store))
    found = [(row["model"], row["layer"], row["degenerate"]) for row in result.degenerate.to_pylist()]
    assert found == [("dead", "zero", "all zero"), ("dead", "rank1", "collapsed"), ("noisy", "random", "random")]
    layers = layers_of(result)
    assert layers["small", "one"]["degenerate"] is None  # T(1) < 0: every entropy would pass
    assert layers["small", "one"]["variance_entropy_normalized"] is None
    assert layers["small", "row"]["orthogonality"] is None
    assert layers["dead", "zero"]["sparsity"] == 1
    assert layers["dead", "zero"]["variance_entropy_clean"] is None  # no filter of it is clean
    assert [layers["small", name]["few_filters"] for name in ("pair", "one", "row")] == [True, True, False]


# Summaries


def naive_mean(rows: list[dict], metric: str, weight: str) -> float:
    rows = [row for row in rows if row[metric] is not None]
    if weight == "layers":
        return float(np.mean([row[metric] for row in rows]))
    if weight == "filters":
        return sum(row[metric] * row["num_filters"] for row in rows) / sum(row["num_filters"] for row in rows)
    by_model: dict[str, list[float]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row[metric])
    return float(np.mean([np.mean(values) for values in by_model.values()]))


@pytest.mark.parametrize("weight", list(Weight))
def test_every_group_and_metric_is_summarised(store: Path, weight: Weight) -> None:
    result = measure_quality(settings(store, axes=("task", "visual_category"), weight=weight))
    assert [grouped.grouping.axis for grouped in result.axes] == ["task", "visual_category", "depth", "model"]
    layers = result.layers.to_pylist()
    for grouped in result.axes:
        rows = grouped.summary.to_pylist()
        assert len(rows) == len(grouped.grouping.groups) * len(METRICS)
        for row in rows:
            mine = [layer for layer in layers if layer[row["axis"]] == row["group"]]
            values = sorted(layer[row["metric"]] for layer in mine if layer[row["metric"]] is not None)
            assert (row["layers"], row["layers_measured"]) == (len(mine), len(values))
            assert row["filters"] == sum(layer["num_filters"] for layer in mine)
            assert row["weight"] == str(weight)
            if not values:
                assert row["mean"] is row["median"] is row["maximum"] is None
                continue
            assert row["mean"] == pytest.approx(naive_mean(mine, row["metric"], str(weight)))
            assert (row["minimum"], row["maximum"]) == (values[0], values[-1])
            assert row["q05"] <= row["q25"] <= row["median"] <= row["q75"] <= row["q95"]
            if weight is Weight.layers:
                assert row["median"] == values[math.ceil(len(values) / 2) - 1]
    assert result.axes[1].notes[0] == "visual_category: left out, no value: 3 models of 4 (8 layers, 599 filters)"


def test_degenerate_shares_by_weight(store: Path) -> None:
    shares = {}
    for weight in Weight:
        result = measure_quality(settings(store, axes=("task",), weight=weight))
        rows = {row["group"]: row for row in result.axes[0].degenerate.to_pylist()}
        assert (rows["One"]["random_layers"], rows["Two"]["collapsed_layers"]) == (1, 1)
        assert rows["Two"]["all_zero_layers"] == 1
        shares[str(weight)] = rows["One"]["random_share"]
    filters = sum(len(model.filters) for model in made_up()[:2])
    assert shares == pytest.approx({"layers": 1 / 6, "filters": 256 / filters, "models": 1 / 4})


# Files and the command


def test_files_hold_what_was_measured(store: Path, tmp_path: Path) -> None:
    said = cli.called(
        main,
        f"store.uri={store}",
        "axes=[task]",
        "weight=models",
        f"out={tmp_path}/out",
        "where=name <> 'small' and conv_depth >= 0",
        cwd=tmp_path,
    )
    assert said.returncode == 0, said.stderr
    out = tmp_path / "out"
    assert f"written to {out}" in said.stdout
    assert "degenerate layers: 1 random, 1 collapsed, 1 all zero" in said.stdout
    assert "Quality by task: medians over models" in said.stdout
    asked = settings(store, axes=("task",), weight=Weight.models, where="name <> 'small' and conv_depth >= 0")
    result = measure_quality(asked)
    assert pq.read_table(out / "layers.parquet").to_pylist() == result.layers.to_pylist()
    assert pq.read_table(out / "quality_task.parquet").to_pylist() == result.axes[0].summary.to_pylist()
    assert pq.read_schema(out / "quality_task.parquet").metadata[b"weight"] == b"models"
    with (out / "degenerate.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["layer"], row["degenerate"]) for row in rows] == [
        ("dead", "zero", "all zero"),
        ("dead", "rank1", "collapsed"),
        ("noisy", "random", "random"),
    ]
    assert rows[0]["variance_entropy"] == "0"
    assert rows[0]["groups"] == ""
    content = json.loads((out / "quality.json").read_text(encoding="utf-8"))
    assert (content["models"], content["layers"], content["weight"]) == (3, 9, "models")
    assert content["degenerate"]["random_layers"] == 1
    assert content["metrics"]["sparsity"]["layers_measured"] == 9
    names = {path.name for path in out.iterdir()}
    for axis in ("task", "depth", "model"):
        expected = {f"quality_{axis}.{e}" for e in ("parquet", "csv")} | {
            f"degenerate_{axis}.{e}" for e in ("parquet", "csv")
        }
        assert expected | {f"boxes_{axis}.png"} <= names
    assert {"entropy_by_size.png", "quality_by_depth.png"} <= names


@pytest.mark.parametrize("axis", ["layer", "groups", "num_filters", "model_id", "depth_method"])
def test_any_axis_groups(store: Path, axis: str) -> None:
    """Also those whose name a column of the layer table has already."""
    if axis == "groups":
        with pytest.raises(Exception, match="axis 'groups' is null for all"):
            measure_quality(settings(store, axes=(axis,)))
        return
    result = measure_quality(settings(store, axes=(axis,)))
    assert sum(row["layers"] for row in result.axes[0].summary.to_pylist()) == 12 * len(METRICS)
    assert len(set(result.layers.column_names)) == len(result.layers.column_names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": ("colour",)}, "there is no axis 'colour' (there are: computed: depth, depth_first, model, layer"),
        ({"axes": ("license",)}, "axis 'license' is null for all"),
        ({"where": "sparsity > 2"}, "leaves no filter"),
        ({"where": "sparsity >"}, "cannot be evaluated"),
        ({"max_groups": 1}, "more than max_groups=1"),
    ],
)
def test_bad_requests_end_in_one_line(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], message: str
) -> None:
    assert guarded(lambda: carry_out(steps(), settings(store, tmp_path, **{"axes": ("task",), **change}))) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_empty_store_and_a_wrong_weight_end_in_one_line(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(lambda: carry_out(steps(), settings(tmp_path / "nothing", tmp_path / "out"))) == 2
    assert "holds no models" in capsys.readouterr().err
    said = cli.called(main, f"store.uri={store}", "weight=pixels", cwd=tmp_path)
    assert said.returncode == 2
    assert "weight=pixels: Invalid value 'pixels', expected one of [filters, layers, models, measured]" in said.stderr
    assert said.stderr.count("\n") == 1


def test_only_degenerate_layers(tmp_path: Path) -> None:
    """A store of zero weights: no norm to draw on a logarithmic scale, no T(n) to divide by."""
    store = write_store(tmp_path / "store", [chain("none", {"a": np.zeros((1, 1, 3, 3)), "b": np.zeros((1, 2, 3, 3))})])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert guarded(lambda: carry_out(steps(), settings(store, tmp_path / "out", axes=("source",)))) == 0
    rows = pq.read_table(tmp_path / "out" / "quality_source.parquet")
    assert rows.schema.field("mean").type == pa.float64()
    assert (tmp_path / "out" / "boxes_source.png").exists()
