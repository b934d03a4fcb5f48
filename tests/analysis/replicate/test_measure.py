"""A paper's figures and numbers: by the other commands' own hands, with verdicts on the published data alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.command import carry_out
from analysis.replicate import ReplicateSettings, measure_replicate
from analysis.replicate.__main__ import main, steps
from analysis.replicate.numbers import verdicts
from analysis.replicate.papers import PAPERS
from analysis.shift import ShiftSettings, measure_shift
from distributed.composition import composed
from distributed.errors import UserError
from distributed.store.settings import StoreSettings
from tests import reference
from tests.cli import called
from tests.stores import Layer, Model, blob_filters, sample_models, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreSettings:
    return StoreSettings(str(write_store(tmp_path_factory.mktemp("replicate") / "store", sample_models())))


def robust_models() -> list[Model]:
    generator = np.random.default_rng(5)
    plan = [("strong a", "true", 0.7), ("strong b", "true", 0.8), ("plain", "false", 0.1), ("plain two", "false", 0.2)]
    return [
        Model(
            name,
            [Layer(f"c{i}", i, i / 2, blob_filters(generator, 150, smooth)) for i in range(3)],
            {"training_dataset": "cifar10", "task": robust},
        )
        for name, robust, smooth in plan
    ]


@pytest.fixture(scope="module")
def robust_store(tmp_path_factory: pytest.TempPathFactory) -> StoreSettings:
    """With a column of its own that says which are robust, as labels add it."""
    folder = write_store(tmp_path_factory.mktemp("robust") / "store", robust_models())
    for path in (folder / "models").glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.append_column("Robust", table.column("task")), path)
    return StoreSettings(str(folder))


@pytest.mark.parametrize("paper", ["2201.08465", "2203.15331", "2210.13799"])
def test_each_paper_writes_its_page(store: StoreSettings, tmp_path: Path, paper: str) -> None:
    settings = ReplicateSettings(store, paper=paper, out=str(tmp_path))
    assert carry_out(steps(), settings) == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    shown = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert shown
    assert all((tmp_path / target).is_file() for target in shown)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} >= {"shift", "ridges", "quality"}
    assert "<script" not in page
    assert PAPERS[paper].title in page
    if paper == "2210.13799":
        assert not (tmp_path / "published.csv").exists()
        return
    table = pq.read_table(tmp_path / "published.parquet")
    assert table.column_names == ["key", "published", "here", "difference", "verdict"]
    assert table.column("verdict").null_count == table.num_rows
    assert table.column("here").null_count == 0
    assert "no verdicts" in page


def test_a_part_is_what_its_command_gives(store: StoreSettings, tmp_path: Path) -> None:
    """The command line in the page, run by itself."""
    carry_out(steps(), ReplicateSettings(store, paper="2203.15331", out=str(tmp_path)))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    (line,) = [line for line in re.findall(r"<pre>([^<]*)</pre>", page) if "analysis.shift" in line]
    words = line.replace("&#x27;", "'").replace("'", "").split()[3:]
    settings = composed("shift", ShiftSettings, words)
    assert settings.replicates == 0
    alone = measure_shift(settings)
    for shift in alone.shifts:
        written = pq.read_table(tmp_path / "shift" / f"shift_{shift.axis}.parquet")
        np.testing.assert_array_equal(written.column("drift").to_numpy().reshape(shift.drift.shape), shift.drift)
    basis = json.loads((tmp_path / "shift" / "basis.json").read_text())
    assert basis["digest"] == alone.basis.digest


def test_numbers_are_those_of_the_parts(store: StoreSettings) -> None:
    result = measure_replicate(ReplicateSettings(store, paper="2201.08465"))
    here = {row.key: row.here for row in result.verdicts}
    by_task = next(shift for shift in result.shifts if shift.axis == "task")
    pairs = by_task.drift[np.triu_indices(3, 1)]
    assert here["groups by task"] == 3
    assert here["mean drift by task"] == pytest.approx(pairs.mean())
    assert here["largest drift by task"] == pairs.max()
    assert here["filters"] == sum(len(model.filters) for model in sample_models())


def test_verdicts_need_the_published_counts() -> None:
    paper = PAPERS["2203.15331"]
    found = {each.key: each.value + 0.9 * each.tolerance for each in paper.published}
    known, rows = verdicts(paper, found)
    assert known
    assert {row.verdict for row in rows} == {"agrees"}
    known, rows = verdicts(paper, found | {"evr 3": 0.1171})
    assert [row.key for row in rows if row.verdict == "differs"] == ["evr 3"]
    del found["evr 1"]
    assert [row.verdict for row in verdicts(paper, found)[1] if row.key == "evr 1"] == [None]
    known, rows = verdicts(paper, found | {"models": 646.0})
    assert not known
    assert {row.verdict for row in rows} == {None}


def kept(filters: np.ndarray) -> np.ndarray:
    largest = np.abs(filters).max(axis=1)
    return filters[largest >= largest.max() / np.float64(100)]


def expected(normal: list[str], strong: list[str], choose: Callable[[Layer], bool]) -> float:
    models = {model.name: model for model in robust_models()}
    everything = np.concatenate([kept(layer.filters) for model in models.values() for layer in model.layers])
    basis = reference.principal(everything)
    coefficients = reference.coefficients(everything, basis)
    sides = [
        np.concatenate([kept(layer.filters) for name in names for layer in models[name].layers if choose(layer)])
        for names in (normal, strong)
    ]
    first, second = (reference.coefficients(side, basis) for side in sides)
    ratio = basis.explained_variance_ratio
    return reference.drift(first, second, ratio, coefficients.min(), coefficients.max())


def test_robust_against_normal(robust_store: StoreSettings, tmp_path: Path) -> None:
    """Clean filters; all models once, or normal ones once a pair; the first layer alone."""
    once = measure_replicate(ReplicateSettings(robust_store, paper="2204.02481"))
    here = {row.key: row.here for row in once.verdicts}
    all_of = ["plain", "plain two"], ["strong a", "strong b"]
    assert here["drift robust, CIFAR-10, once"] == pytest.approx(expected(*all_of, lambda layer: True), abs=1e-9)
    assert here["drift robust, CIFAR-10, once a pair"] is None
    assert here["robust filters"] == 2 * 3 * 150
    first = expected(*all_of, lambda layer: layer.depth == 0)
    assert here["drift robust, CIFAR-10, first layer"] == pytest.approx(first, abs=1e-9)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        ",Robust,Normal,Arch,Dataset\n0,strong a,plain,x,cifar10\n1,strong b,plain,x,cifar10\n"
        "2,strong a,plain two,x,cifar10\n"
    )
    paired = measure_replicate(ReplicateSettings(robust_store, paper="2204.02481", pairs=str(pairs)))
    here = {row.key: row.here for row in paired.verdicts}
    each = expected(["plain", "plain", "plain two"], ["strong a", "strong b", "strong a"], lambda layer: True)
    assert here["drift robust, CIFAR-10, once a pair"] == pytest.approx(each, abs=1e-9)
    assert {shift.axis for shift in paired.shifts} == {"training_dataset*Robust", "training_dataset*Robust*depth_first"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"paper": "2203.1533"}, "paper=2203.1533; did you mean '2203.15331'?: there are 2201.08465"),
        ({"paper": "2204.02481"}, "no column 'robust' says which models are: add it with labels"),
        ({"paper": "2203.15331", "pairs": "x.csv"}, "pairs is of paper=2204.02481"),
    ],
)
def test_requests_that_cannot_be(store: StoreSettings, changes: dict[str, str], words: str) -> None:
    with pytest.raises(UserError) as raised:
        measure_replicate(replace(ReplicateSettings(store, paper="x"), **changes))
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("Robust,Normal\na,b\n", "line 2 has no Dataset"), ("Robust,Normal,Dataset\nstrong a,who,x\n", "no model 'who'")],
)
def test_pairs_that_cannot_be(robust_store: StoreSettings, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        measure_replicate(ReplicateSettings(robust_store, paper="2204.02481", pairs=str(tmp_path / "pairs.csv")))


def test_what_a_store_cannot_give_is_noted(tmp_path: Path) -> None:
    models = [replace(model, columns={**model.columns, "visual_category": None}) for model in sample_models()]
    store = StoreSettings(str(write_store(tmp_path / "store", models)))
    result = measure_replicate(ReplicateSettings(store, paper="2203.15331"))
    assert any(note.startswith("left out phenotypes") for note in result.notes)
    assert [part.part.name for part in result.parts] == ["structure", "shift", "ridges", "quality"]


def test_the_command(store: StoreSettings, tmp_path: Path) -> None:
    said = called(main, "paper=2203.15331", f"store.uri={store.uri}", "out=r", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "1,464,797,156" in said.stdout
    assert (tmp_path / "r" / "index.html").is_file()
