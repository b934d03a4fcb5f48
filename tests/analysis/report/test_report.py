"""The report without a browser: its numbers are those of the store, its page holds no markup but its own."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from analysis.report import ReportSettings, measure_report, write_report
from analysis.report.__main__ import main
from analysis.report.clustering import cluster_order
from analysis.report.measure import ReportResult
from analysis.report.tables import script_json, table_data, upper
from analysis.settings import Baseline
from analysis.shift import ShiftSettings, measure_shift
from analysis.wording import one_line
from distributed.errors import StoreError, UserError
from distributed.store.settings import StoreSettings
from tests.analysis.report.stores import IMAGE, LINK, SCRIPT, hostile_store
from tests.cli import called
from tests.stores import Layer, Model, blob_filters, chain, sample_models, write_store


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ReportSettings:
    store = hostile_store(tmp_path_factory.mktemp("report") / "store")
    return ReportSettings(
        StoreSettings(store.uri),
        axes=("task", "depth", "architecture", "training_dataset"),
        max_groups=12,
        replicates=50,
        figures=False,
    )


@pytest.fixture(scope="module")
def report(settings: ReportSettings) -> ReportResult:
    return measure_report(settings)


class Page(HTMLParser):
    """Every element with its attributes, the texts outside scripts and styles, and the content of those."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.sealed: dict[str, list[str]] = {"script": [], "style": []}
        self.source = file.read_text(encoding="utf-8")
        self.feed(self.source)
        self.data: dict[str, Any] = json.loads(self.sealed["script"][0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag in self.sealed:
            self.sealed[tag].append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in self.sealed:
            self.sealed[self.cdata_elem][-1] += data
        else:
            self.texts.append(data)

    def table(self, caption: str) -> dict[str, list[Any]]:
        """The columns of the first table of this caption."""
        found = next(table for table in self.data["tables"] if table["caption"] == caption)
        return {column["title"]: column["values"] for column in found["columns"]}


@pytest.fixture(scope="module")
def page(report: ReportResult, tmp_path_factory: pytest.TempPathFactory) -> Page:
    (written,) = write_report(report, tmp_path_factory.mktemp("page"))
    return Page(written)


def floats(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), "<f4")


def pairs(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(matrix), k=1)]


def test_lineage_and_duplicates_stand_in_the_page(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    weights = {f"conv{i}": generator.normal(size=(8, 8, 3, 3)) for i in range(3)}
    near = {name: each + 0.2 * generator.normal(size=each.shape) for name, each in weights.items()}
    models = [
        chain(SCRIPT, weights, {"task": "x"}),
        chain("copy", weights, {"task": "x"}),
        chain("near", near, {"task": "y"}),
        chain("own", {"conv": generator.normal(size=(8, 8, 3, 3))}, {"task": "y"}),
    ]
    store = StoreSettings(str(write_store(tmp_path / "store", models)))
    found = measure_report(ReportSettings(store, axes=("task",), replicates=0, figures=False, out=str(tmp_path)))
    (written,) = write_report(found, tmp_path)
    page = Page(written)
    ties = page.table("Ties")
    assert sorted(zip(ties["model a"], ties["model b"], ties["tie"], strict=True)) == [
        (SCRIPT, "copy", "same weights"),
        (SCRIPT, "near", "descent"),
        ("copy", "near", "descent"),
    ]
    said = " ".join(page.texts)
    assert "4 models of 2 lineages" in said
    assert "left out: copy (as </script>" in said
    assert any(note.startswith("same weights count once") for note in found.notes)
    assert found.extent.models == 3


def test_json_in_a_script_is_the_same_content_without_any_markup() -> None:
    content = {"a": [SCRIPT, IMAGE, "\u2028\u2029 &amp; ü 漢"], "b": 1.5, "c": None}
    text = script_json(content)
    assert json.loads(text) == content
    assert not set("<>&\u2028\u2029") & set(text)
    with pytest.raises(ValueError, match="JSON compliant"):
        script_json([float("nan")])


def test_tables_are_numbers_and_texts_of_a_line() -> None:
    matrix = np.array([[0, 1, 2], [1, 0, np.nan], [2, np.nan, 0]])
    np.testing.assert_array_equal(floats(upper(matrix)), np.array([1, 2, np.nan], "f4"))
    rows = pa.table({"name": ["x\ny\x1b", None], "n": [3, None], "share": [0.123456789, np.nan], "none": pa.nulls(2)})
    found = table_data("T", rows, sort="n", aside=2)
    assert {column["title"]: column["values"] for column in found["columns"]} == {
        "name": ["x y\\x1b", None],
        "n": [3, None],
        "share": [0.12346, None],
    }
    assert [(column["number"], column["aside"]) for column in found["columns"]] == [
        (False, False),
        (True, False),
        (True, True),
    ]


@pytest.mark.parametrize("groups", [1, 2, 3, 17, 60])
def test_every_cluster_of_average_linkage_stands_together(groups: int) -> None:
    generator = np.random.default_rng(groups)
    points = generator.normal(size=(groups, 4))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    order = cluster_order(distances)
    assert sorted(order) == list(range(groups))
    if groups < 2:
        return
    members = {index: {index} for index in range(groups)}
    place = np.argsort(order)
    for step, (a, b, _, _) in enumerate(linkage(squareform(distances, checks=False), "average")):
        members[groups + step] = members[int(a)] | members[int(b)]
        places = sorted(place[list(members[groups + step])])
        assert places[-1] - places[0] == len(places) - 1


def test_the_matrices_are_those_of_the_shift(page: Page, settings: ReportSettings) -> None:
    axes = ("task", "depth")
    shift = measure_shift(ShiftSettings(settings.store, axes=axes, replicates=50, max_groups=12))
    matrices = page.data["matrices"]
    assert [each["axis"] for each in matrices] == list(axes)
    for each, expected in zip(matrices, shift.shifts, strict=True):
        assert expected.uncertainty is not None
        np.testing.assert_allclose(floats(each["drift"]), pairs(expected.drift), rtol=1e-6)
        for name in ("low", "debiased", "floor"):
            np.testing.assert_allclose(floats(each[name]), pairs(getattr(expected.uncertainty, name)), rtol=1e-6)
        assert "verdict" not in each
        np.testing.assert_allclose(floats(each["q_value"]), pairs(expected.uncertainty.q_value), rtol=1e-6)
        assert each["filters"] == [group.filters for group in expected.groups]
    few = dict(zip(matrices[0]["names"], matrices[0]["few"], strict=True))
    assert few == {LINK: 0, "Classification": 0, "Denoising": 0, "Only One": 1, "Segmentation": 0}
    # And so are the boxes of them.
    drift = shift.shifts[0].drift
    boxes = page.table("Drift by axis")
    assert boxes["axis"] == ["task (10 pairs)", "depth (45 pairs)"]
    assert boxes["median"][0] == pytest.approx(np.median(pairs(drift)), rel=1e-4)
    medians = sorted((float(np.median(np.delete(row, i))) for i, row in enumerate(drift)), reverse=True)
    assert page.table("Drift by task")["median"] == pytest.approx(medians, rel=1e-4)


def test_what_is_in_the_store_is_counted(page: Page, report: ReportResult) -> None:
    total = sum(report.models.column("num_filters").to_pylist())
    tasks = page.table("Models by task")
    assert dict(zip(tasks["Task"], tasks["models"], strict=True)) == {
        LINK: 6,
        "Segmentation": 6,
        "Classification": 6,
        "Denoising": 5,
        "Only One": 1,
    }
    assert sum(tasks["filters"]) == total
    assert f"{total:,} filters of 24 models" in page.texts
    assert not [table for table in page.data["tables"] if table["caption"] == "Models by training data"]
    models = page.table("Models")
    assert models["Name"] == [one_line(name) for name in report.models.column("name").to_pylist()]
    assert models["3×3 filters"] == report.models.column("num_filters").to_pylist()
    left_out = page.table("Models left out")
    assert [left_out[key] for key in ("what", "reason", "place")] == [["skipped"], ["unsafe_pickle"], ["hub/x/a.bin"]]


def test_an_axis_that_cannot_be_drawn_is_named_with_the_reason(page: Page, report: ReportResult) -> None:
    assert set(report.left_out) == {"architecture", "training_dataset"}
    assert "more than max_groups=12" in report.left_out["architecture"]
    assert "null for all of 24 models" in report.left_out["training_dataset"]
    assert set(report.left_out.values()) <= set(page.texts)


def test_nothing_but_the_pages_own_script_and_style_may_run(page: Page) -> None:
    (policy,) = [a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a]
    (style,), (_, script) = page.sealed["style"], page.sealed["script"]
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in (script, style)]
    allowed = f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; img-src data:;"
    assert allowed in policy
    attributes = {key for _, found in page.elements for key in found}
    assert not {key for key in attributes if key.startswith("on") or key == "style"}
    assert not [tag for tag, _ in page.elements if tag in ("img", "iframe", "b", "object", "foreignobject")]
    assert len([tag for tag, _ in page.elements if tag == "svg"]) == 15
    targets = [found[key] for tag, found in page.elements for key in ("src", "href", "action") if key in found]
    assert {re.sub(r"[,#].*", "", target, flags=re.S) for target in targets} == {"", "data:", "data:image/png;base64"}
    for hostile in (IMAGE, SCRIPT, LINK):
        assert hostile not in page.source
        assert hostile in page.texts or hostile in json.dumps(page.data, ensure_ascii=False).replace('\\"', '"')


def test_no_two_elements_share_an_id(page: Page) -> None:
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(ids) > 50
    assert len(set(ids)) == len(ids)
    inner = {target[1:] for _, found in page.elements if (target := found.get("href", "")).startswith("#")}
    assert inner <= set(ids)


def test_each_figure_is_said_in_words_as_well(page: Page) -> None:
    assert "box: quartiles; whiskers: within 1.5 box lengths; dots: beyond; diamond: mean" in page.texts
    assert "Eigenfilters by task" in page.texts
    assert len([tag for tag, found in page.elements if found.get("role") == "img"]) == 15
    shares = page.table("Shares of the variance")
    assert shares["group"][:2] == ["all filters of the store", LINK]
    assert sum(shares[str(index)][0] for index in range(1, 10)) == pytest.approx(1, abs=1e-4)
    assert page.table("Layers")["entropy"]
    metrics = page.table("Layer quality")
    assert len(metrics["group"]) == 5 * len(set(metrics["metric"]))


def test_groups_of_few_filters_are_named(tmp_path: Path) -> None:
    filters = blob_filters(np.random.default_rng(0), 6, 0.3)
    tiny = Model("tiny", [Layer("conv.weight", 0, 0.0, filters)], {"task": "Tiny"})
    store = write_store(tmp_path / "store", [*sample_models(), tiny])
    settings = ReportSettings(StoreSettings(str(store)), axes=("task",), replicates=0, figures=False)
    page = Page(write_report(measure_report(settings), tmp_path)[0])
    assert "task: fewer than 10 filters, flagged: Tiny" in page.texts
    assert "dotted: fewer than ten filters, which reach 100% early by themselves" in page.texts
    assert any("1 layer of fewer than 10 filters" in text for text in page.texts)


def test_a_store_without_axes_shows_its_own_structure(settings: ReportSettings, tmp_path: Path) -> None:
    report = measure_report(replace(settings, axes=("training_dataset",)))
    page = Page(write_report(report, tmp_path)[0])
    assert page.data["matrices"] == []
    assert [found["aria-label"] for tag, found in page.elements if tag == "svg"] == [
        "Models by kind",
        "Eigenfilters",
        "Symmetry",
        "Variance entropy and number of filters",
        "Quality over depth",
        "Distance from untrained and number of filters",
    ]


def test_untrained_filters_are_groups_of_the_page(
    settings: ReportSettings, report: ReportResult, tmp_path: Path
) -> None:
    asked = replace(settings, axes=("task",), baseline=(Baseline.normal,))
    page, plain = Page(write_report(measure_report(asked), tmp_path)[0]), report.shifts[0]
    (matrix,) = page.data["matrices"]
    assert matrix["names"][-1] == "untrained, normal"
    assert (matrix["models"][-1], matrix["few"][-1]) == (0, 0)
    groups = len(matrix["names"])
    square = np.zeros((groups, groups))
    square[np.triu_indices(groups, k=1)] = floats(matrix["p_value"])
    assert np.isnan(square[:-1, -1]).all()
    np.testing.assert_allclose(pairs(square[:-1, :-1]), pairs(plain.uncertainty.p_value), rtol=1e-6)  # type: ignore[union-attr]
    assert page.table("Shares of the variance")["group"][-1] == "untrained, normal"
    assert page.table("Shares of the energy")["odd under 180°"][-1] == pytest.approx(4 / 9, abs=1e-3)
    # What separates an axis, and which group stands out, are questions about models.
    assert len(page.table("Drift by task")["task"]) == groups - 1
    assert "untrained, normal" not in page.table("Drift by task")["task"]
    assert any("1,048,576 of independent weights: normal" in text for text in page.texts)
    assert sum("'baseline=[normal]'" in text for text in page.texts) >= 3  # report, shift, structure
    assert page.table("Layers, the nearest to untrained first")["distance"][0] is not None


def test_labels_are_axes_kinds_and_columns_of_the_page(settings: ReportSettings, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("name,lab,Task,score\nmodel_0*,A,t,0.5\nmodel_1*,B,,0.25\nnobody,C,,\n")
    report = measure_report(replace(settings, axes=("lab",), labels=str(labels), replicates=0))
    page = Page(write_report(report, tmp_path)[0])
    assert [each["axis"] for each in page.data["matrices"]] == ["lab"]
    kinds = page.table("Models by lab")
    assert dict(zip(kinds["Lab"], kinds["models"], strict=True)) == {"B": 10, "A": 7}
    models = page.table("Models")
    assert sorted({score for score in models["Score"] if score is not None}) == [0.25, 0.5]
    assert {"Task", "Attributes task"} <= set(models)
    assert not [table for table in page.data["tables"] if table["caption"] == "Models by score"]
    shown = "".join(page.texts)
    assert f"labels={labels}" in shown
    assert "1 row without a model: labels.csv line 4 (name nobody)" in shown


def test_every_figure_is_written_for_papers(settings: ReportSettings, tmp_path: Path) -> None:
    # One axis: a figure takes a second, its fonts above all.
    report = measure_report(replace(settings, axes=("task",), replicates=0, figures=True))
    file, *figures = write_report(report, tmp_path)
    assert file == tmp_path / "index.html"
    links = {found["href"] for tag, found in Page(file).elements if tag == "a" and not found["href"].startswith("#")}
    assert links == {path.relative_to(tmp_path).as_posix() for path in figures}
    of_axis = ("drift", "drift_groups", "agreement", "eigenfilters", "symmetry", "cumulative", "quality")
    of_all = {"contents", "drift_boxes", "entropy_by_size", "untrained_by_size", "quality_by_depth"}
    names = of_all | {f"{name}_task" for name in of_axis}
    assert {path.name for path in figures} == {f"{name}.{kind}" for name in names for kind in ("png", "pdf")}
    for path in figures:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG" if path.suffix == ".png" else b"%PDF")
        assert b"/Type3" not in content  # letters as outlines of their own: journals refuse them
    assert b"/Subtype /Image" not in (tmp_path / "figures" / "drift_boxes.pdf").read_bytes()
    # Another run without them takes them away.
    again = replace(report, settings=replace(report.settings, figures=False))
    write_report(again, tmp_path)
    assert not list((tmp_path / "figures").glob("*.p*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": ("tusk",)}, "no axis 'tusk'"),
        ({"where": "task = "}, "cannot be evaluated"),
        ({"where": "task = 'none'"}, "leaves no filter"),
        ({"subspace": 9}, "1 to 8"),
        ({"max_groups": 0}, "max_groups=0: give 1 to 100,000"),
        ({"divergence": "cosine"}, "divergence"),
    ],
)
def test_bad_requests_are_one_line(settings: ReportSettings, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        measure_report(replace(settings, **changes))
    assert "\n" not in str(caught.value)


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no models"):
        measure_report(ReportSettings(StoreSettings(str(tmp_path / "nothing"))))


def test_the_command_writes_the_page_without_reading_a_filter(settings: ReportSettings, tmp_path: Path) -> None:
    condition = "task = 'Segmentation' or task = 'Denoising'"
    arguments = [
        f"store.uri={settings.store.uri}",
        "axes=[task]",
        "figures=false",
        "replicates=0",
        f"where={condition}",
    ]
    done = called(main, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "report/index.html" in done.stdout
    page = Page(tmp_path / "report" / "index.html")
    shown = "".join(page.texts)
    assert "of 11 models" in shown
    assert f"where {condition}" in shown
    assert "nothing scanned" in shown
    # The commands in the page give the same again.
    assert f"'where={condition}'" in shown.replace("'\"'\"'", "'")
