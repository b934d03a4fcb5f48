"""Pairs: twins differ by nothing, planted differences are found where they are, numbers equal plain procedures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import api
from analysis.command import carry_out
from analysis.measures.layer_quality import METRICS
from analysis.pairs import PairsSettings, measure_pairs
from analysis.pairs.__main__ import main, steps
from analysis.pairs.measure import PairsResult
from analysis.pairs.tables import bins_table, pairs_table
from analysis.selection.view import StoreView
from analysis.settings import Filters, LayerWeight, Shared, Unit, Weight
from distributed.errors import UserError
from distributed.sources.settings import LocalSettings
from distributed.store.settings import StoreSettings
from tests import cli, reference
from tests.checkpoints import real_models
from tests.distributed.checkpoint_files import extracted
from tests.stores import Layer, Model, blob_filters, chain, write_store

MATCHED = {"match": ("architecture",), "contrast": "recipe", "values": ("plain", "robust")}
DEPTH = 11
PLANTED = 6


def settings(store: Path, **others: object) -> PairsSettings:
    return PairsSettings(StoreSettings(str(store)), **others)  # type: ignore[arg-type]


def listed(folder: Path, *lines: str) -> str:
    path = folder / "pairs.csv"
    path.write_text("\n".join(("plain,robust", *lines)) + "\n", encoding="utf-8")
    return str(path)


def models_of(pairs: int, seed: int, planted: float = 0.0) -> list[Model]:
    """Pairs of an architecture each; side ``robust`` has smoother filters in one layer."""
    generator = np.random.default_rng(seed)
    models = []
    for number in range(pairs):
        smooth = generator.uniform(0.2, 0.5)
        for recipe in ("plain", "robust"):
            layers = []
            for depth in range(DEPTH):
                more = planted if recipe == "robust" and depth == PLANTED else 0.0
                weight = blob_filters(generator, 150, smooth + more).reshape(15, 10, 3, 3)
                layers.append(Layer(f"c{depth}", depth, depth / (DEPTH - 1), weight))
            columns = {"architecture": f"net{number}", "recipe": recipe, "training_dataset": "pictures"}
            models.append(Model(f"net{number} {recipe}", layers, columns))
    return models


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("planted") / "store", models_of(10, 1, planted=0.3))


@pytest.fixture(scope="module")
def found(planted: Path) -> PairsResult:
    return measure_pairs(settings(planted, **MATCHED))


def bins_of(result: PairsResult) -> pd.DataFrame:
    return bins_table(result).to_pandas().set_index(["bin", "measure"])


# Twins


def test_twins_of_two_formats_differ_by_nothing(checkpoints: Path, tmp_path: Path) -> None:
    """Extracted as a user does: the depths of one come from its order, of the other from its graph."""
    store = tmp_path / "store"
    extracted(LocalSettings(str(checkpoints), models=("ulfg_rfb_320_*",)), store)
    result = measure_pairs(settings(store, pairs=listed(tmp_path, "ulfg_rfb_320_pth,version-RFB-320.onnx")))
    assert len(result.bins) == 12
    assert any("layers stand as deep as in ulfg_rfb_320_onnx" in note for note in result.notes)
    table = pairs_table(result).to_pandas()
    assert (table["filters_a"] == table["filters_b"]).all()
    assert table["filters_a"].sum() == 2 * 7872
    differences = table[["drift", *(f"{metric}_difference" for metric in METRICS)]]
    assert (differences == 0).all(axis=None)
    bins = bins_of(result)
    assert (bins[["pooled", "mean_of_pairs"]] == 0).all(axis=None)
    assert (bins["p_value"] == 1).all()


def test_twins_are_0_beside_other_pairs(checkpoints: Path, tmp_path: Path) -> None:
    models = real_models(checkpoints)
    for model in models:
        for layer in model.layers:
            layer.columns["depth_method"] = "onnx" if "onnx" in model.name else "order"
    store = write_store(tmp_path / "store", models)
    pairs = listed(tmp_path, "ulfg_rfb_320_onnx,ulfg_rfb_320_pth", "deepcr_mask_f435w,deepcr_mask_f606w")
    result = measure_pairs(settings(store, pairs=pairs))
    table = pairs_table(result).to_pandas()
    twins = table["a"] == "ulfg_rfb_320_onnx"
    assert (table[twins].filter(like="_difference").fillna(0) == 0).all(axis=None)
    assert (table.loc[twins, "drift"] == 0).all()
    others = table[~twins & table["drift"].notna()]
    assert (others["drift"] > 0).all()


# What is planted


def test_a_planted_difference_is_found_at_its_depth_and_nowhere_else(found: PairsResult) -> None:
    place = f"({(PLANTED - 1) / 10:.1f}, {PLANTED / 10:.1f}]"
    assert [each.name for each in found.bins][:3] == ["all layers", "first layer", "(0.0, 0.1]"]
    bins = bins_of(found)
    for measure in ("drift", "variance_entropy", "variance_entropy_clean_normalized"):
        q = bins.xs(measure, level="measure")["q_value"].dropna()
        assert len(q) == DEPTH
        assert q[q <= 0.05].index.tolist() == [place], measure
    assert bins.loc[(place, "variance_entropy"), "mean_of_pairs"] < -0.02
    assert bins["exact"].all()
    assert bins.loc[("all layers", "drift"), ["pairs", "clusters"]].tolist() == [10, 10]


def test_nothing_is_found_where_nothing_is_planted(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", models_of(10, 2))
    bins = bins_of(measure_pairs(settings(store, **MATCHED)))
    drifts = bins.xs("drift", level="measure")
    assert drifts["q_value"].min() > 0.05
    assert bins["q_value"].min() > 0.02  # of 110


# By hand


def side_filters(models: list[Model], names: list[str]) -> np.ndarray:
    by_name = {model.name: model for model in models}
    return np.concatenate([by_name[name].filters for name in names])


@pytest.mark.parametrize("shared", list(Shared))
def test_sides_are_pooled_as_by_hand(tmp_path: Path, shared: Shared) -> None:
    """One plain model against three others, and a pair by itself."""
    models = models_of(4, 3)
    plain = [model.name for model in models if "plain" in model.name]
    robust = [model.name for model in models if "robust" in model.name]
    store = write_store(tmp_path / "store", models)
    lines = [f"{plain[0]},{name}" for name in robust[:3]] + [f"{plain[3]},{robust[3]}"]
    result = measure_pairs(settings(store, pairs=listed(tmp_path, *lines), shared=shared))
    first = [plain[0]] * (3 if shared is Shared.each else 1) + [plain[3]]
    everything = np.concatenate([model.filters for model in models])
    basis = reference.principal(everything)
    coefficients = reference.coefficients(everything, basis)
    sides = [reference.coefficients(side_filters(models, names), basis) for names in (first, robust)]
    ratio = basis.explained_variance_ratio
    drift = reference.drift(*sides, ratio, coefficients.min(), coefficients.max())
    bins = bins_of(result)
    assert bins.loc[("all layers", "drift"), "pooled"] == pytest.approx(drift, rel=1e-9)
    assert bins.loc[("all layers", "drift"), ["pairs", "clusters"]].tolist() == [4, 2]
    assert any("4 pairs in 2 clusters: those that share a model" in note for note in result.notes)
    assert any("no p-value can be below 0.5" in note for note in result.notes)
    # Means of quality: sparsity by filters, orthogonality by output channels, clean entropy by clean filters.
    layers = result.quality.to_pandas()
    layers["clean"] = layers["num_filters"] - np.rint(layers["sparsity"] * layers["num_filters"])
    for metric, weight in (
        ("sparsity", "num_filters"),
        ("variance_entropy_clean", "clean"),
        ("orthogonality", "out_channels"),
    ):
        parts = dict(list(layers.groupby("model")))
        pooled = [pd.concat([parts[name] for name in names]) for names in (first, robust)]
        a, b = (np.average(side[metric], weights=side[weight]) for side in pooled)
        row = bins.loc[("all layers", metric)]
        np.testing.assert_allclose([row["a"], row["b"], row["pooled"]], [a, b, b - a])
        own = {name: np.average(mine[metric], weights=mine[weight]) for name, mine in parts.items()}
        differences = [own[line.split(",")[1]] - own[line.split(",")[0]] for line in lines]
        often = [1, 1, 1, 1] if shared is Shared.each else [1 / 3, 1 / 3, 1 / 3, 1]
        np.testing.assert_allclose(row["mean_of_pairs"], np.average(differences, weights=often))


def test_each_pair_is_the_drift_of_its_models(planted: Path, found: PairsResult) -> None:
    table = pairs_table(found).to_pandas()
    whole = table[table["bin"] == "all layers"]
    assert whole["label"].tolist() == [f"net{number}" for number in range(10)]
    square = api.matrix(api.shift(planted, "model", replicates=0), "model")
    for row in whole.itertuples():
        assert row.drift == pytest.approx(square.loc[row.a, row.b], rel=1e-9)
    by_model = api.quality(planted, "architecture").groupby("model")["norm_mean"].mean()  # all layers are of a size
    np.testing.assert_allclose(whole["norm_mean_a"], by_model[whole["a"]])
    np.testing.assert_allclose(whole["norm_mean_difference"], by_model[whole["b"]].to_numpy() - whole["norm_mean_a"])


def test_swapped_sides_change_the_sign_and_nothing_else(planted: Path, found: PairsResult) -> None:
    other = bins_of(measure_pairs(settings(planted, **{**MATCHED, "values": ("robust", "plain")})))
    bins = bins_of(found)
    np.testing.assert_allclose(other["p_value"], bins["p_value"])
    metrics = bins.index.get_level_values("measure") != "drift"
    np.testing.assert_allclose(other.loc[metrics, "mean_of_pairs"], -bins.loc[metrics, "mean_of_pairs"])
    np.testing.assert_allclose(other.loc[~metrics, "pooled"], bins.loc[~metrics, "pooled"])


def test_of_two_values_none_need_be_named(planted: Path, found: PairsResult) -> None:
    assert measure_pairs(settings(planted, **{**MATCHED, "values": ()})).listing == found.listing


def test_models_of_a_lineage_swap_together(planted: Path) -> None:
    """Of a view with lineages: of nets 0 and 1, and of 2, 3 and 4."""
    view = StoreView.open(StoreSettings(str(planted)))
    names = view.flat.column("architecture").to_pylist()
    lineages = {"net0": "x", "net1": "x", "net2": "y", "net3": "y", "net4": "y"}
    flat = view.flat.drop_columns([name for name in view.flat.column_names if name == "lineage"])
    flat = flat.append_column("lineage", pa.array([lineages.get(name) for name in names], pa.string()))
    result = measure_pairs(settings(planted, **MATCHED, unit=Unit.lineage), replace(view, flat=flat))
    # The plain and the robust models of nets 5 … 9 are lineages of their own.
    assert result.bins[0].drift.clusters == 7
    assert result.paired.clusters.tolist() == [0, 0, 1, 1, 1, 2, 3, 4, 5, 6]
    assert any("those that share a lineage" in note for note in result.notes)


# Settings


def test_clean_filters_are_compared_and_quality_is_of_all(planted: Path, found: PairsResult) -> None:
    clean = measure_pairs(settings(planted, **MATCHED, filters=Filters.clean))
    assert (clean.bins[0].filters < found.bins[0].filters).all()
    before, after = bins_of(found), bins_of(clean)
    assert after.loc[("all layers", "sparsity"), "pooled"] == before.loc[("all layers", "sparsity"), "pooled"]
    assert after.loc[("all layers", "drift"), "pooled"] != before.loc[("all layers", "drift"), "pooled"]


def test_bins_by_a_column_and_none(planted: Path) -> None:
    by_name = measure_pairs(settings(planted, **MATCHED, by="layer_name"))
    assert {each.name for each in by_name.bins} == {"all layers", *(f"c{depth}" for depth in range(DEPTH))}
    (everything,) = measure_pairs(settings(planted, **MATCHED, by=None)).bins
    assert everything.name == "all layers"


def test_models_weigh_alike(tmp_path: Path) -> None:
    """One large pair against two small ones that change the other way."""
    generator = np.random.default_rng(0)
    models = []
    for name, number, smooth in (("x", 3000, (0.2, 0.8)), ("y", 60, (0.8, 0.2)), ("z", 60, (0.8, 0.2))):
        for recipe, each in zip(("plain", "robust"), smooth, strict=True):
            weights = {"c": blob_filters(generator, number, each)}
            models.append(chain(f"{name} {recipe}", weights, {"architecture": name, "recipe": recipe}))
    store = write_store(tmp_path / "store", models)
    bins = {weight: measure_pairs(settings(store, **MATCHED, weight=weight, by=None)).bins[0] for weight in Weight}
    assert bins[Weight.models].drift.together < bins[Weight.filters].drift.together / 2
    layers = measure_pairs(settings(store, **MATCHED, layer_weight=LayerWeight.layers)).bins[0]
    entropy = "variance_entropy"
    assert layers.metrics[entropy].together > 0 > bins[Weight.filters].metrics[entropy].together


def test_a_bin_that_only_one_side_has_counts_nowhere(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)

    def model(name: str, depths: list[float]) -> Model:
        layers = [Layer(f"{name}{d}", int(10 * d), d, blob_filters(generator, 50, 0.4)) for d in depths]
        return Model(name, layers)

    store = write_store(tmp_path / "store", [model("p", [0, 0.5, 1]), model("q", [0, 1]), model("r", [0, 0.5, 1])])
    result = measure_pairs(settings(store, pairs=listed(tmp_path, "p,q", "p,r")))
    by_name = {each.name: each for each in result.bins}
    assert by_name["(0.4, 0.5]"].drift.pairs == 1
    assert np.isnan(by_name["(0.4, 0.5]"].drift.of_pairs).tolist() == [True, False]
    table = pairs_table(result).to_pandas()
    row = table[(table["b"] == "q") & (table["bin"] == "(0.4, 0.5]")].iloc[0]
    assert (row["filters_a"], row["filters_b"]) == (50, 0)
    assert row[["drift", "sparsity_a", "sparsity_b", "sparsity_difference"]].isna().all()


def test_where_leaves_pairs_out_by_line(planted: Path, tmp_path: Path) -> None:
    pairs = listed(tmp_path, "net0 plain,net0 robust", "net1 plain,net1 robust")
    result = measure_pairs(settings(planted, pairs=pairs, where="architecture != 'net0'"))
    assert len(result.listing) == 1
    assert any("1 pair left out" in note and "line 2" in note for note in result.notes)
    with pytest.raises(UserError, match="in no pair do both models take part"):
        measure_pairs(settings(planted, pairs=pairs, where="architecture = 'net5'"))


# The command


def test_the_command_writes_tables_and_pictures(planted: Path, tmp_path: Path) -> None:
    said = cli.called(
        main,
        f"store.uri={planted}",
        "match=[architecture,training_dataset]",
        "contrast=recipe",
        "values=[plain,robust]",
        "out=found",
        cwd=tmp_path,
    )
    assert said.returncode == 0, said.stderr
    assert "robust minus plain: 10 pairs in 10 clusters" in said.stdout
    assert "Benjamini–Hochberg" in said.stdout
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names >= {"pairs.csv", "pairs.parquet", "bins.csv", "bins.parquet", "basis.json"}
    assert names >= {"drift_by_depth.png", "quality_by_depth.png", "ridges_by_depth.png"}
    table = pq.read_table(tmp_path / "found" / "bins.parquet")
    assert table.num_rows == (1 + DEPTH) * (1 + len(METRICS))
    assert table.schema.metadata[b"b"] == b"robust"
    alone = api.pairs(planted, **MATCHED)
    pd.testing.assert_frame_equal(table.to_pandas(), alone.bins)


def test_a_dry_run_prints_the_pairs_and_writes_nothing(planted: Path, tmp_path: Path) -> None:
    asked = [f"store.uri={planted}", "match=[architecture]", "contrast=recipe", "dry_run=true"]
    said = cli.called(main, *asked, "where=architecture != 'net3'", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert "9 pairs of plain and robust" in said.stdout
    assert "net4 plain" in said.stdout
    assert "net3" not in said.stdout
    assert not any(tmp_path.iterdir())
    named = cli.called(main, asked[0], f"pairs={listed(tmp_path, 'net1 plain,net2 robust')}", asked[3], cwd=tmp_path)
    assert "1 pair of plain and robust" in named.stdout


def test_what_timm_offers_is_printed_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    asked = ["timm=[resnet18*,resnet50.*]", "match=[architecture,training_dataset]", "contrast=recipe", "dry_run=true"]
    said = cli.called(main, *asked, "values=[a1,tv]", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert "2 pairs of a1 and tv" in said.stdout
    (line,) = [line.split() for line in said.stdout.splitlines() if line.startswith("resnet50.")]
    assert line == ["resnet50.a1_in1k", "resnet50.tv_in1k", "resnet50", "·", "ImageNet-1k"]
    everything = cli.called(main, *asked, cwd=tmp_path)
    assert "pairs that agree in architecture, training_dataset, by recipe" in everything.stdout
    assert not any(tmp_path.iterdir())


def test_pictures_are_drawn_without_a_bin_in_common(tmp_path: Path) -> None:
    """One pair whose models share no depth but the first."""
    generator = np.random.default_rng(0)
    models = [
        Model(
            name,
            [Layer("a", 0, 0, blob_filters(generator, 40, 0.4)), Layer(name, 1, d, blob_filters(generator, 40, 0.4))],
        )
        for name, d in (("p", 0.3), ("q", 0.9))
    ]
    store = write_store(tmp_path / "store", models)
    asked = settings(store, pairs=listed(tmp_path, "p,q"), out=str(tmp_path / "out"))
    assert carry_out(steps(), asked) == 0
    bins = pq.read_table(tmp_path / "out" / "bins.parquet").to_pandas()
    alone = bins[bins["pairs"] == 0]
    assert {"(0.2, 0.3]", "(0.8, 0.9]"} <= set(alone["bin"])
    assert (alone["measure"] == "drift").sum() == 2
    assert alone[["pooled", "mean_of_pairs", "p_value", "q_value"]].isna().all(axis=None)
