"""The documents: examples of the API run, the notebook runs, and the commands that are written down compose."""

from __future__ import annotations

import contextlib
import doctest
import re
import shlex
from pathlib import Path

import pytest

import analysis.api
from analysis import api
from analysis.coefficients import CoefficientsSettings
from analysis.compare import CompareSettings
from analysis.export import ExportSettings
from analysis.labels.settings import LabelsSettings
from analysis.lineage import LineageSettings
from analysis.pairs import PairsSettings
from analysis.partition import PartitionSettings
from analysis.quality import QualitySettings
from analysis.replicate import ReplicateSettings
from analysis.report import ReportSettings
from analysis.shift import ShiftSettings, measure_shift
from analysis.structure import StructureSettings
from distributed.composition import composed
from distributed.errors import UserError
from distributed.outcomes import OutcomeKind
from distributed.settings import ExtractionRun
from distributed.sources.settings import SampleSettings
from distributed.store.settings import StoreSettings
from tests.conftest import REPOSITORY
from tests.distributed.checkpoint_files import extracted

DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md"))]

SETTINGS = {
    "extract": ExtractionRun,
    "shift": ShiftSettings,
    "structure": StructureSettings,
    "partition": PartitionSettings,
    "quality": QualitySettings,
    "coefficients": CoefficientsSettings,
    "compare": CompareSettings,
    "pairs": PairsSettings,
    "labels": LabelsSettings,
    "lineage": LineageSettings,
    "report": ReportSettings,
    "replicate": ReplicateSettings,
    "export": ExportSettings,
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``data/demo`` is the store that ``make demo`` leaves."""
    folder = tmp_path_factory.mktemp("demo")
    outcomes = extracted(SampleSettings(), folder / "data" / "demo")
    assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.EXTRACTED}
    return folder


def test_examples_of_the_api_run(demo: Path) -> None:
    found = {
        test.name.removeprefix("analysis.api.")
        for test in doctest.DocTestFinder(exclude_empty=True).find(analysis.api)
        if test.examples
    }
    public = {
        name for name, value in vars(api).items() if getattr(value, "__module__", "") == api.__name__ and name[0] != "_"
    }
    assert found - {"analysis.api"} == {name for name in public if callable(getattr(api, name))} - {
        "ModelPlace",
        "PairDifferences",
    }
    with contextlib.chdir(demo):
        result = doctest.testmod(analysis.api)
    assert (result.failed, result.attempted > 30) == (0, True)


def test_examples_of_the_api_page_run(demo: Path) -> None:
    with contextlib.chdir(demo):
        result = doctest.testfile(str(REPOSITORY / "docs" / "api.md"), module_relative=False)
    assert (result.failed, result.attempted > 10) == (0, True)


def test_a_matrix_is_that_of_the_command(demo: Path) -> None:
    """Order, labels and values, of names as of single models."""
    store = StoreSettings(str(demo / "data/demo"))
    settings = ShiftSettings(store, axes=("task", "depth", "model"), replicates=0)
    pairs = api.shift(store, settings.axes, replicates=0)
    for expected in measure_shift(settings).shifts:
        square = api.matrix(pairs, expected.axis)
        assert list(square.index) == list(square.columns) == [group.label for group in expected.groups]
        assert (square.to_numpy() == expected.drift).all()


def test_wrong_requests_are_one_line(demo: Path) -> None:
    store = demo / "data/demo"
    for call, said in (
        (lambda: api.shift(store, "colour"), "colour"),
        (lambda: api.shift(store, "task", weights="models"), "there is no setting 'weights'; did you mean 'weight'?"),
        (lambda: api.shift(store, "task", weight="pixels"), "weight='pixels': choose one of filters, layers, models"),
        (lambda: api.quality(store, "task", cluster=None), "there is no setting 'cluster'"),
        (lambda: api.models(demo / "nothing"), "nothing"),
        (lambda: api.filters(store, most=1000), "more than most=1,000: choose fewer"),
        (lambda: api.layers(store, where="no_such = 1"), "no_such"),
        (lambda: api.matrix(api.shift(store, "task", replicates=0), "depth"), "no axis 'depth' among these pairs"),
        (lambda: api.matrix(api.shift(store, "task", replicates=0), "task", "p_value"), "no column 'p_value'"),
    ):
        with pytest.raises(UserError) as raised:
            call()
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)


def test_filters_are_those_of_the_chosen_layers(demo: Path) -> None:
    store = demo / "data/demo"
    chosen = api.layers(store, where="task = 'Segmentation' and conv_depth > 0")
    kernels = api.filters(store, where="task = 'Segmentation' and conv_depth > 0")
    sizes = kernels.groupby("layer_id").size()
    assert dict(sizes) == dict(zip(chosen["layer_id"], chosen["layer_num_filters"], strict=True))


def commands(document: str) -> list[tuple[str, list[str]]]:
    """Command and overrides of every line of a document that runs one of ours; continued lines are joined."""
    text = (REPOSITORY / document).read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for line in re.findall(r"(?:launch/extract\.py|-m analysis\.\w+)[^\n`]*", text):
        words = shlex.split(line.split("  #")[0], comments=True)
        name = "extract" if words[0].startswith("launch") else words[1].removeprefix("analysis.")
        overrides = words[1:] if words[0].startswith("launch") else words[2:]
        if "…" not in line and "--help" not in overrides and overrides:
            found.append((name, overrides))
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_that_are_written_down_compose(document: str) -> None:
    """Every override exists, has the right type, and gives complete settings; nothing is run."""
    for name, overrides in commands(document):
        assert name in SETTINGS, f"{document}: there is no command analysis.{name}"
        assert isinstance(composed(name, SETTINGS[name], overrides), SETTINGS[name])


def test_the_readme_writes_commands_down() -> None:
    """The search above finds them: otherwise it would pass on nothing."""
    assert {"extract", "shift"} <= {name for name, _ in commands("README.md")}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_pictures_of_documents_are_there(document: str) -> None:
    path = REPOSITORY / document
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{document} points to {target}"


def test_pictures_of_the_documents_are_small_and_used() -> None:
    pictures = sorted((REPOSITORY / "docs" / "images").iterdir())
    texts = "".join((REPOSITORY / document).read_text(encoding="utf-8") for document in DOCUMENTS)
    assert not [path.name for path in pictures if f"images/{path.name}" not in texts]
    assert sum(path.stat().st_size for path in pictures) < 1_800_000
