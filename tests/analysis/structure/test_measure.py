"""Structure: PCA from moments against scikit-learn on the filters themselves; files; one-line errors."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.decomposition import PCA

from analysis.command import carry_out
from analysis.measures.eigenfilters import Structure
from analysis.settings import Duplicates, Filters
from analysis.structure import StructureSettings, measure_structure
from analysis.structure.__main__ import main, steps
from distributed.entry import guarded
from distributed.store.settings import StoreSettings
from tests import cli, reference
from tests.checkpoints import real_models
from tests.stores import Model, chain, write_store


def trained(generator: np.random.Generator, out: int, inputs: int, mixing: np.ndarray) -> np.ndarray:
    """(out, inputs, 3, 3) correlated filters, a few all zero."""
    filters = generator.normal(size=(out * inputs, 9)) @ mixing
    filters[::17] = 0
    return filters.reshape(out, inputs, 3, 3).astype(np.float32)


def made_up() -> list[Model]:
    """Five models of three tasks; one task of few filters, one of equal ones; one model without a category."""
    generator = np.random.default_rng(7)
    smooth = np.diag([5, 3, 2, 1.5, 1, 0.8, 0.6, 0.5, 0.3]) @ np.linalg.qr(generator.normal(size=(9, 9)))[0]
    rough = np.diag([3, 2.5, 2.2, 1.5, 1.2, 1, 0.9, 0.4, 0.2]) @ np.linalg.qr(generator.normal(size=(9, 9)))[0]
    return [
        chain(
            "a",
            {f"conv{i}": trained(generator, 12, 8, smooth) for i in range(3)},
            {"task": "One", "visual_category": "x"},
        ),
        chain("b", {f"conv{i}": trained(generator, 10, 6, smooth) for i in range(4)}, {"task": "One"}),
        chain(
            "c",
            {f"conv{i}": trained(generator, 16, 5, rough) for i in range(2)},
            {"task": "Two", "visual_category": "y"},
        ),
        chain(
            "tiny",
            {"conv0": generator.normal(size=(2, 3, 3, 3)).astype(np.float32)},
            {"task": "Few", "visual_category": "y"},
        ),
        chain("same", {"conv0": np.ones((4, 4, 3, 3), np.float32)}, {"task": "Equal", "visual_category": "y"}),
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "store", made_up(), with_filters=False)


def settings(store: Path, out: Path | str = "structure", **others: object) -> StructureSettings:
    return StructureSettings(StoreSettings(str(store)), out=str(out), **others)  # type: ignore[arg-type]


def assert_equals_scikit_learn(found: Structure, filters: np.ndarray) -> None:
    scaled = reference.scale(filters)
    expected = PCA(n_components=9, svd_solver="full").fit(scaled)
    assert found.principal is not None
    assert found.moments.count == len(filters)
    np.testing.assert_allclose(found.moments.mean, expected.mean_, atol=1e-9)
    np.testing.assert_allclose(found.ratio, expected.explained_variance_ratio_, atol=1e-9)
    np.testing.assert_allclose(found.moments.covariance, np.cov(scaled, rowvar=False), atol=1e-9)
    np.testing.assert_allclose(found.total_variance, expected.explained_variance_.sum(), rtol=1e-9)
    np.testing.assert_allclose(found.cumulative, np.cumsum(expected.explained_variance_ratio_), atol=1e-9)
    np.testing.assert_allclose(found.principal.components, expected.components_, atol=1e-6)


def test_store_and_groups_equal_scikit_learn(store: Path) -> None:
    result = measure_structure(settings(store, axes=("task", "model", "depth")))
    models = made_up()
    assert_equals_scikit_learn(result.whole, np.concatenate([model.filters for model in models]))
    by_task = {s.group.name: s for s in result.axes[0].structures}
    assert list(by_task) == ["Equal", "Few", "One", "Two"]
    for task in ("One", "Two"):
        mine = np.concatenate([model.filters for model in models if model.columns["task"] == task])
        assert_equals_scikit_learn(by_task[task], mine)
    assert by_task["One"].group.label == "One (2)"
    for found in result.axes[1].structures[:3]:
        assert_equals_scikit_learn(found, next(m.filters for m in models if m.name == found.group.name))
    deepest = result.axes[2].structures[-1]
    last = [m.layers[-1].filters for m in models if len(m.layers) > 1]
    assert deepest.group.name == "(0.9, 1.0]"
    assert_equals_scikit_learn(deepest, np.concatenate(last))


def test_real_checkpoints_equal_scikit_learn(checkpoints: Path, tmp_path: Path) -> None:
    models = real_models(checkpoints)
    result = measure_structure(
        settings(
            write_store(tmp_path / "store", models, with_filters=False),
            axes=("task", "model"),
            duplicates=Duplicates.keep,
        )
    )
    assert_equals_scikit_learn(result.whole, np.concatenate([model.filters for model in models]))
    assert result.whole.moments.count == 232_584
    for found in result.axes[0].structures:
        mine = [m.filters for m in models if m.columns["task"] == found.group.name]
        assert_equals_scikit_learn(found, np.concatenate(mine))
    for found in result.axes[1].structures:
        assert_equals_scikit_learn(found, next(m.filters for m in models if m.name == found.group.name))
    twins = {s.group.name: i for i, s in enumerate(result.axes[1].structures)}
    agreement = result.axes[1].agreement.agreement
    assert agreement[twins["ulfg_rfb_320_pth"], twins["ulfg_rfb_320_onnx"]] == pytest.approx(1.0, abs=1e-9)
    assert agreement[twins["resnet32_cifar10"], twins["resnet44_cifar10"]] > 0.99
    assert agreement[twins["resnet32_cifar10"], twins["carn_m"]] < 0.5


def test_no_filter_is_read(tmp_path: Path) -> None:
    """The command gives the same with the content of ``filters/`` deleted: it follows from the moments alone."""
    full = write_store(tmp_path / "full", made_up())
    assert len(list((full / "filters").iterdir())) == 5
    with_filters = measure_structure(settings(full, axes=("task",)))
    for file in (full / "filters").iterdir():
        file.unlink()
    said = cli.called(main, f"store.uri={full}", "axes=[task]", f"out={tmp_path}/out", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    found = json.loads((tmp_path / "out" / "structure.json").read_text())
    assert with_filters.whole.principal is not None
    assert found["whole"]["components"] == with_filters.whole.principal.components.tolist()
    assert "Structure by task" in said.stdout
    assert "task: fewer than 10 filters, flagged: Few" in said.stdout
    assert "written to" in said.stdout


def test_symmetry_of_clean_filters_leaves_the_sparse_out(tmp_path: Path) -> None:
    """Gradients, and blobs that are a thousand times smaller."""
    gradient = np.tile(np.outer([1, 2, 1], [-1, 0, 1]), (3, 4, 1, 1)).astype(np.float32)
    blobs = np.full((1, 4, 3, 3), 1e-3, np.float32)
    models = [chain("edges", {"conv": np.concatenate([gradient, blobs])}, {"task": "One"})]
    store = write_store(tmp_path / "store", models, with_filters=False)
    (every,), (clean,) = (
        measure_structure(settings(store, axes=("task",), filters=which)).axes[0].structures
        for which in (Filters.all, Filters.clean)
    )
    assert clean.symmetry.odd["odd_rotation"] == pytest.approx(1, abs=1e-12)
    assert clean.symmetry.dct[0, 0] == 0
    scaled = (gradient[0, 0] / 2) ** 2
    assert every.symmetry.odd["odd_rotation"] == pytest.approx(3 * scaled.sum() / (3 * scaled.sum() + 9))


# Agreement


def test_what_has_no_direction_is_flagged_not_compared(store: Path) -> None:
    result = measure_structure(settings(store, axes=("task",)))
    axis = result.axes[0]
    equal, few, one, _ = axis.structures
    assert equal.principal is None
    assert not equal.few_filters
    assert few.few_filters
    assert few.directed.tolist() == [True] * 5 + [False] * 4  # six filters span five directions about their mean
    assert one.directed.all()
    assert np.isnan(axis.agreement.agreement[0]).all()
    assert np.isnan(axis.agreement.cosines[1, 2, 5:]).all()
    assert np.isfinite(axis.agreement.cosines[1, 2, :5]).all()
    assert axis.agreement.agreement[1, 1] == 1
    assert any("fewer than 10 filters, flagged: Few" in note for note in axis.notes)
    assert any("all filters equal, no components: Equal" in note for note in axis.notes)


# Files


def test_files_hold_what_was_measured(store: Path, tmp_path: Path) -> None:
    asked = settings(store, tmp_path, axes=("task", "model"), subspace=2, where="task in ('One', 'Two', 'Few')")
    assert guarded(lambda: carry_out(steps(), asked)) == 0
    result = measure_structure(asked)
    content = json.loads((tmp_path / "structure.json").read_text(encoding="utf-8"))
    assert content["where"] == asked.where
    assert content["whole"]["filters"] == sum(len(m.filters) for m in made_up())
    assert content["selection"]["models"] == 4
    assert content["selection"]["filters"] == sum(len(m.filters) for m in made_up()[:4])
    for axis in ("task", "model"):
        for stem, ending in (
            ("structure", "parquet"),
            ("moments", "parquet"),
            ("agreement", "parquet"),
            ("agreement", "csv"),
            ("symmetry", "parquet"),
            ("symmetry", "csv"),
        ):
            assert (tmp_path / f"{stem}_{axis}.{ending}").stat().st_size > 0
        for stem in ("eigenfilters", "symmetry", "cumulative", "agreement"):
            assert (tmp_path / f"{stem}_{axis}.png").read_bytes().startswith(b"\x89PNG")
    table = pq.read_table(tmp_path / "structure_task.parquet")
    assert table.schema.metadata[b"where"].decode() == asked.where
    rows = table.to_pylist()
    assert [row["group"] for row in rows] == ["Few"] * 9 + ["One"] * 9 + ["Two"] * 9
    one = result.axes[0].structures[1]
    assert one.principal is not None
    found = np.array([[row[f"c{i}"] for i in range(9)] for row in rows[9:18]])
    np.testing.assert_array_equal(found, one.principal.components)
    assert [row["cumulative"] for row in rows[9:18]] == pytest.approx(one.cumulative.tolist(), abs=0)
    assert sum(row["variance"] for row in rows[9:18]) == pytest.approx(one.total_variance)
    assert rows[5] | {"c0": None, "store_cosine": None} == rows[5]  # the sixth component of six filters
    assert rows[5]["few_filters"]
    moments = pq.read_table(tmp_path / "moments_task.parquet").to_pylist()[1]
    np.testing.assert_array_equal(np.array(moments["covariance"]).reshape(9, 9), one.moments.covariance)
    pairs = {(r["a"], r["b"]): r for r in pq.read_table(tmp_path / "agreement_task.parquet").to_pylist()}
    assert len(pairs) == 9
    assert pairs["One", "Two"]["agreement"] == result.axes[0].agreement.agreement[1, 2]
    assert pairs["One", "Two"]["angle_2"] == result.axes[0].agreement.angles[1, 2, 1]
    assert "angle_3" not in pairs["One", "Two"]
    assert pairs["One", "One"]["agreement"] == 1
    shares = {row["group"]: row for row in pq.read_table(tmp_path / "symmetry_task.parquet").to_pylist()}
    assert list(shares) == ["all filters of the store", f"where {asked.where}", "Few", "One", "Two"]
    kernels = np.concatenate([reference.scale(m.filters) for m in made_up() if m.columns["task"] == "One"])
    turned = (kernels - kernels[:, ::-1]) / 2
    assert shares["One"]["odd_rotation"] == pytest.approx((turned**2).sum() / (kernels**2).sum())
    assert shares["One"]["dct_00"] == pytest.approx((kernels.sum(axis=1) ** 2).sum() / 9 / (kernels**2).sum())
    assert content["whole"]["odd"]["odd_rotation"] == shares["all filters of the store"]["odd_rotation"]
    with (tmp_path / "agreement_task.csv").open(encoding="utf-8") as file:
        matrix = list(csv.reader(file))
    assert matrix[0] == ["task", "Few (1)", "One (2)", "Two (1)"]
    assert float(matrix[2][3]) == pytest.approx(pairs["One", "Two"]["agreement"], rel=1e-8)


def test_a_single_group_without_directions_still_gives_its_files(store: Path, tmp_path: Path) -> None:
    asked = settings(store, tmp_path, axes=("task",), where="task = 'Equal'")
    assert guarded(lambda: carry_out(steps(), asked)) == 0
    rows = pq.read_table(tmp_path / "structure_task.parquet")
    assert rows.column("explained_variance_ratio").null_count == 9
    assert rows.schema.field("c0").type == pa.float64()
    assert not (tmp_path / "agreement_task.png").exists()


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": ("colour",)}, "there is no axis 'colour' (there are: computed: depth, depth_first, model, layer"),
        ({"axes": ("license",)}, "axis 'license' is null for all"),
        ({"axes": ()}, "axes is empty"),
        ({"where": "task = 'Nothing'"}, "leaves no filter"),
        ({"where": "task = "}, "cannot be evaluated"),
        ({"subspace": 9}, "subspace=9: give 1 to 8"),
        ({"max_groups": 2}, "more than max_groups=2"),
    ],
)
def test_bad_requests_end_in_one_line(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], message: str
) -> None:
    assert guarded(lambda: carry_out(steps(), settings(store, tmp_path, **{"axes": ("task",), **change}))) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_empty_or_damaged_store_ends_in_one_line(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nothing").mkdir()
    assert guarded(lambda: carry_out(steps(), settings(tmp_path / "nothing", tmp_path / "out"))) == 2
    assert "holds no models" in capsys.readouterr().err
    damaged = tmp_path / "damaged"
    shutil.copytree(store, damaged)
    file = sorted((damaged / "layers").iterdir())[0]
    table = pq.read_table(file)
    sums = table.column("scaled_sum").to_pylist()
    sums[0][3] = float("nan")
    place = table.schema.get_field_index("scaled_sum")
    pq.write_table(
        table.set_column(place, table.schema.field(place), pa.array(sums, table.schema.field(place).type)), file
    )
    assert guarded(lambda: carry_out(steps(), settings(damaged, tmp_path / "out", axes=("task",)))) == 2
    error = capsys.readouterr().err
    assert "scaled_sum" in error
    assert error.count("\n") == 1
