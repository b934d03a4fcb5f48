"""The report without a browser: its data are those of the store, its page holds no markup but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from analysis.report.content import report_content
from analysis.report.drift_section import box_of, pair_values
from analysis.report.encoding import numbers, packed, script_json, upper, words
from matplotlib.cbook import boxplot_stats
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from analysis.report import ReportSettings, measure_report, write_report
from analysis.report.clustering import cluster_order
from analysis.report.measure import ReportResult
from analysis.report.page import page_of
from analysis.shift import ShiftSettings, measure_shift
from distributed.errors import StoreError, UserError
from distributed.store.settings import StoreSettings
from tests.analysis.report.stores import IMAGE, LINK, SCRIPT, hostile_store
from tests.cli import run_command


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ReportSettings:
    store = hostile_store(tmp_path_factory.mktemp("report") / "store")
    return ReportSettings(
        StoreSettings(store.uri),
        axes=("task", "depth", "architecture", "training_dataset"),
        max_groups=12,
        replicates=50,
    )


@pytest.fixture(scope="module")
def report(settings: ReportSettings) -> ReportResult:
    return measure_report(settings)


class _Elements(HTMLParser):
    """Every element with its attributes, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data


def floats(content: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(content["f32"]), "<f4")


def test_json_in_a_script_is_the_same_content_without_any_markup() -> None:
    content = {"a": [SCRIPT, IMAGE, "\u2028\u2029 &amp; ü 漢"], "b": 1.5, "c": None}
    text = script_json(content)
    assert json.loads(text) == content
    assert not set("<>&\u2028\u2029") & set(text)
    with pytest.raises(ValueError, match="JSON compliant"):
        script_json([float("nan")])


def test_columns_are_packed_and_read_back() -> None:
    matrix = np.array([[0, 1, 2], [1, 0, np.nan], [2, np.nan, 0]])
    np.testing.assert_array_equal(floats(upper(matrix)), np.array([1, 2, np.nan], "f4"))
    assert floats(packed([0.1])).tolist() == [np.float32(0.1)]
    assert words(["b", None, "a", "b"]) == {"words": ["b", "a"], "codes": [0, -1, 1, 0]}
    assert words(["x\ny\x1b"]) == {"words": ["x y\\x1b"], "codes": [0]}
    assert numbers([1.0, None, float("nan"), 0.123456789], 3) == [1, None, None, 0.123]


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


def test_a_box_is_that_of_matplotlib() -> None:
    values = np.random.default_rng(1).exponential(size=301)
    (expected,) = boxplot_stats(values)
    box = box_of(values)
    found = (box.low, box.q1, box.median, box.q3, box.high, box.mean)
    np.testing.assert_allclose(found, [expected[k] for k in ("whislo", "q1", "med", "q3", "whishi", "mean")])
    assert sorted(values[box.beyond]) == sorted(expected["fliers"])
    assert box_of(np.array([2.0])).median == 2.0


def test_the_matrices_are_those_of_the_shift(report: ReportResult, settings: ReportSettings) -> None:
    axes = ("task", "depth")
    shift = measure_shift(ShiftSettings(settings.store, axes=axes, replicates=50, max_groups=12))
    content = report_content(report, {})
    assert [axis["axis"] for axis in content["axes"]] == list(axes)
    for axis, expected in zip(content["axes"], shift.shifts, strict=True):
        assert expected.uncertainty is not None
        np.testing.assert_allclose(floats(axis["drift"]), pair_values(expected.drift), rtol=1e-6)
        np.testing.assert_allclose(floats(axis["low"]), pair_values(expected.uncertainty.low), rtol=1e-6)
        np.testing.assert_allclose(floats(axis["q_value"]), pair_values(expected.uncertainty.q_value), rtol=1e-6)
        assert axis["groups"]["filters"] == [group.filters for group in expected.groups]
    few = dict(zip(content["axes"][0]["groups"]["names"], content["axes"][0]["groups"]["few"], strict=True))
    assert few == {LINK: 0, "Classification": 0, "Denoising": 0, "Only One": 1, "Segmentation": 0}


def test_what_is_in_the_store_is_counted(report: ReportResult) -> None:
    contents = report_content(report, {})["contents"]
    assert contents["totals"]["models"] == 24
    assert contents["totals"]["filters"] == sum(report.models.column("num_filters").to_pylist())
    task = contents["counts"][0]
    assert dict(zip(task["names"], task["models"], strict=True)) == {
        LINK: 6,
        "Segmentation": 6,
        "Classification": 6,
        "Denoising": 5,
        "Only One": 1,
    }
    assert sum(task["filters"]) == contents["totals"]["filters"]
    assert "training_dataset" not in [each["column"] for each in contents["counts"]]
    (skip,) = contents["rejects"]
    assert (skip["kind"], skip["reason"], skip["place"]) == ("skipped", "unsafe_pickle", "hub/x/a.bin")


def test_an_axis_that_cannot_be_drawn_is_named_with_the_reason(report: ReportResult) -> None:
    assert set(report.left_out) == {"architecture", "training_dataset"}
    assert "more than max_groups=12" in report.left_out["architecture"]
    assert "null for all of 24 models" in report.left_out["training_dataset"]


def test_nothing_but_the_pages_own_scripts_may_run(report: ReportResult) -> None:
    page = page_of(report_content(report, {}), "t")
    elements = _Elements(page)
    data, *scripts = elements.scripts
    assert json.loads(data)["contents"]["totals"]["models"] == 24
    (policy,) = [a["content"] for tag, a in elements.elements if tag == "meta" and "http-equiv" in a]
    assert policy is not None
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(digests) == 2
    expected = f"script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}'"
    assert f"default-src 'none'; {expected};" in policy
    assert not [tag for tag, _ in elements.elements if tag in ("img", "iframe", "b")]
    targets = [a[k] for _, a in elements.elements for k in ("src", "href") if k in a]
    assert set(targets) == {"#main", "data:,"}
    for hostile in (IMAGE, SCRIPT, LINK):
        assert hostile not in page.replace("".join(elements.scripts[1:]), "")


def test_every_figure_is_written_for_papers(settings: ReportSettings, tmp_path: Path) -> None:
    # One axis: a figure takes a second, its fonts above all.
    report = measure_report(replace(settings, axes=("task",), replicates=0))
    page, *figures = write_report(report, tmp_path)
    assert page == tmp_path / "index.html"
    content = json.loads(_Elements(page.read_text(encoding="utf-8")).scripts[0])
    named = content["figures"]
    assert sorted(figures) == sorted(tmp_path / path for pair in named.values() for path in pair)
    of_axis = ("drift", "drift_groups", "agreement", "eigenfilters", "cumulative", "quality")
    once = {"contents", "drift_boxes", "entropy_by_size", "quality_by_depth"}
    assert set(named) == once | {f"{name}_0" for name in of_axis}
    for png, pdf in named.values():
        assert (tmp_path / png).read_bytes().startswith(b"\x89PNG")
        content = (tmp_path / pdf).read_bytes()
        assert content.startswith(b"%PDF")
        assert b"/Type3" not in content  # letters as outlines of their own: journals refuse them
    assert b"/Subtype /Image" not in (tmp_path / named["drift_boxes"][1]).read_bytes()


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
    done = run_command("-m", "analysis.report", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "report/index.html" in done.stdout
    content = json.loads(_Elements((tmp_path / "report" / "index.html").read_text(encoding="utf-8")).scripts[0])
    assert content["contents"]["totals"]["models"] == 11
    assert content["settings"]["where"] == condition
    assert "nothing scanned" in content["provenance"]["sketch"]
    # The commands in the page give the same again.
    assert f"'where={condition}'" in content["provenance"]["commands"]["shift"].replace("'\"'\"'", "'")
