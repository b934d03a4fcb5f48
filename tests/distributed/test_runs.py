"""Whole runs of the driver on a local Ray over a folder of good, bad and hostile checkpoints."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from distributed.driver import extract, reject_of
from distributed.outcomes import Outcome, OutcomeKind
from distributed.settings import ClusterSettings, ExtractionRun, ExtractSettings, ProgressStyle, Retry
from distributed.sources import list_references
from distributed.sources.settings import LocalSettings
from distributed.store import Store
from distributed.store.settings import StoreSettings
from tests.disks import small_disk

__all__ = ["small_disk"]

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def run_of(source: Path, store: Path, **settings: object) -> ExtractionRun:
    chosen = ExtractSettings(**{"progress": ProgressStyle.plain, **settings})  # type: ignore[arg-type]
    return ExtractionRun(LocalSettings(path=str(source)), StoreSettings(str(store)), ClusterSettings(actors=1), chosen)


def conv(seed: int, out: int = 4, inner: int = 3) -> torch.Tensor:
    return torch.randn(out, inner, 3, 3, generator=torch.Generator().manual_seed(seed))


class WritesAFile:
    """Pickled, it would write a file when somebody loads it carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def make_good(folder: Path) -> None:
    safetensors.torch.save_file({"conv.weight": conv(0)}, folder / "good.safetensors")
    torch.save({"state_dict": {"module.conv.weight": conv(1)}}, folder / "wrapped.pth")
    torch.save({"conv.weight": conv(2).half()}, folder / "half.pt")


def make_bad(folder: Path, trap: Path) -> dict[str, tuple[str, str]]:
    """Hostile and broken files: name → (reason, words of the message)."""
    good = (folder / "good.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(good[:-100])
    (folder / "hugeheader.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + good[8:])
    torch.save({"conv.weight": conv(3).fill_(float("nan"))}, folder / "nan.pth")
    infinite = conv(4)
    infinite[1, 2, 0, 1] = float("inf")
    torch.save({"conv.weight": infinite}, folder / "inf.pth")
    torch.save({"fc.weight": torch.ones(3, 4)}, folder / "linear.pth")
    torch.save({"conv.weight": torch.ones(0, 3, 3, 3)}, folder / "zerosize.pth")
    torch.save({"model": WritesAFile(trap)}, folder / "trap.pth")
    with (folder / "plain.bin").open("wb") as file:
        pickle.dump({"conv.weight": np.ones((2, 2, 3, 3)), "x": WritesAFile(trap)}, file)
    (folder / "page.pth").write_text("<!DOCTYPE html><html>not found</html>")
    return {
        "truncated": ("unreadable", "truncated.safetensors"),
        "hugeheader": ("unreadable", "hugeheader.safetensors"),
        "nan": ("non_finite", "conv.weight"),
        "inf": ("non_finite", "conv.weight"),
        "linear": ("no_3x3_convolution", "linear.pth"),
        "zerosize": ("no_3x3_convolution", "zerosize.pth"),
        "trap": ("unsafe_pickle", "mkdir"),
        "plain": ("unsafe_pickle", "plain.bin"),
        "page": ("unsupported_format", "HTML"),
    }


def test_bad_models_are_skipped_with_their_reason_and_stop_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, store, trap = tmp_path / "models", tmp_path / "store", tmp_path / "trap"
    source.mkdir()
    make_good(source)
    expected = make_bad(source, trap)

    assert extract(run_of(source, store)) == 0
    said = capsys.readouterr().out
    assert "listed 12 = extracted 3 + already there 0 + skipped 9 + failed 0" in said
    assert not trap.exists()
    skips = {row["name"]: row for row in pq.read_table(store / "skips").to_pylist()}
    assert {name: row["reason"] for name, row in skips.items()} == {
        name: reason for name, (reason, _) in expected.items()
    }
    for name, (_, words) in expected.items():
        assert words in skips[name]["message"], skips[name]["message"]
        assert "\n" not in skips[name]["message"]
        assert skips[name]["message"].split("\n")[0] in said.replace("\n", " ") or skips[name]["reason"] in said
    assert skips["inf"]["tensor"] == "conv.weight"

    # Again: done models are not read, skips are known, nothing is tried.
    assert extract(run_of(source, store)) == 0
    assert "listed 12 = extracted 0 + already there 3 + skipped 9 + failed 0" in capsys.readouterr().out

    # One of them is mended: other content is another reference, so it is simply extracted.
    torch.save({"conv.weight": conv(5)}, source / "nan.pth")
    assert extract(run_of(source, store)) == 0
    assert "listed 12 = extracted 1 + already there 3 + skipped 8 + failed 0" in capsys.readouterr().out

    # Asked for, the others are read again, and found as bad as before.
    assert extract(run_of(source, store, retry=Retry.skipped)) == 0
    assert "extracted 0 + already there 4 + skipped 8 + failed 0" in capsys.readouterr().out


def test_the_same_content_under_another_name_is_the_same_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, store = tmp_path / "models", tmp_path / "store"
    source.mkdir()
    make_good(source)
    assert extract(run_of(source, store)) == 0
    before = Store.open(StoreSettings(str(store))).model_ids()
    moved = tmp_path / "moved"
    source.rename(moved)
    for path in list(moved.iterdir()):
        path.rename(path.with_stem(f"renamed-{path.stem}"))
    capsys.readouterr()
    assert extract(run_of(moved, store)) == 0
    assert "extracted 0 + already there 3" in capsys.readouterr().out
    assert Store.open(StoreSettings(str(store))).model_ids() == before


def test_a_dry_run_reads_no_weights_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, store = tmp_path / "models", tmp_path / "store"
    source.mkdir()
    make_good(source)
    (source / "good.safetensors").write_bytes(b"not weights at all")  # whoever reads it finds out
    assert extract(run_of(source, store, dry_run=True)) == 0
    said = capsys.readouterr().out
    assert "listed 3 = to extract 3" in said
    for name in ("good", "wrapped", "half"):
        assert name in said
    assert not store.exists()


def test_a_manifest_checksum_that_does_not_match_is_a_skip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, store = tmp_path / "models", tmp_path / "store"
    source.mkdir()
    make_good(source)
    (source / "manifest.yaml").write_text(f"models:\n  - {{file: half.pt, name: half, sha256: {'0' * 64}}}\n")
    assert extract(run_of(source, store)) == 0
    assert "extracted 0 + already there 0 + skipped 1 + failed 0" in capsys.readouterr().out
    (row,) = pq.read_table(store / "skips").to_pylist()
    assert row["reason"] == "checksum_mismatch"
    assert row["expected"] == "0" * 64
    assert len(row["found"]) == 64


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "models"
    source.mkdir()
    make_good(source)
    for store in ("one", "two"):
        assert extract(run_of(source, tmp_path / store)) == 0
    one = {p.relative_to(tmp_path / "one"): p for p in (tmp_path / "one").rglob("*.parquet")}
    two = {p.relative_to(tmp_path / "two"): p for p in (tmp_path / "two").rglob("*.parquet")}
    assert one.keys() == two.keys()
    for relative, path in one.items():
        if relative.parts[0] in ("filters", "layers"):
            assert path.read_bytes() == two[relative].read_bytes(), relative


def test_half_precision_is_exact_and_dtype_is_kept(tmp_path: Path) -> None:
    source, store = tmp_path / "models", tmp_path / "store"
    source.mkdir()
    stored = {
        "half": conv(1).half(),
        "brain": conv(2).bfloat16(),
        "double": conv(3).double(),
    }
    for name, tensor in stored.items():
        torch.save({"conv.weight": tensor}, source / f"{name}.pth")
    assert extract(run_of(source, store)) == 0
    models = {row["model_id"]: row["name"] for row in pq.read_table(store / "models").to_pylist()}
    for layer in pq.read_table(store / "layers").to_pylist():
        tensor = stored[models[layer["model_id"]]]
        assert layer["dtype"] == str(tensor.dtype).removeprefix("torch.")
        table = pq.read_table(store / "filters" / f"{layer['model_id']}.parquet")
        found = np.stack([table[f"w{i}"].to_numpy() for i in range(9)], axis=1)
        np.testing.assert_array_equal(found, tensor.float().reshape(-1, 9).numpy())


def test_layers_tell_what_was_left_out(tmp_path: Path) -> None:
    source, store = tmp_path / "models", tmp_path / "store"
    source.mkdir()
    content = {
        "state_dict": {"a.weight": conv(1), "b.weight": conv(2), "up.weight": conv(3, 6, 4), "up.bias": torch.ones(4)},
        "optimizer": {"state": {0: {"exp_avg": conv(4)}}, "param_groups": []},
    }
    torch.save(content, source / "trained.pth")
    assert extract(run_of(source, store)) == 0
    (model,) = pq.read_table(store / "models").to_pylist()
    assert model["num_filters"] == 24
    notes = " ".join(model["notes"])
    assert "optimizer" in notes
    assert "up.weight" in notes
    assert [row["name"] for row in pq.read_table(store / "layers").to_pylist()] == ["a.weight", "b.weight"]
    # With other settings it is another model of the same store, not "already there".
    assert extract(run_of(source, store, include_transposed=True)) == 0
    models = {row["variant"]: row for row in pq.read_table(store / "models").to_pylist()}
    assert {variant: row["num_filters"] for variant, row in models.items()} == {None: 24, "transposed": 48}


def test_kernel_shapes_are_a_parquet_map(tmp_path: Path) -> None:
    source, store = tmp_path / "models", tmp_path / "store"
    source.mkdir()
    torch.save(
        {"a.weight": conv(0), "b.weight": torch.ones(5, 4, 1, 1), "c.weight": torch.ones(2, 5, 5, 5)}, source / "m.pth"
    )
    assert extract(run_of(source, store)) == 0
    (row,) = pq.read_table(store / "models").to_pylist()
    assert dict(row["kernel_shapes"]) == {"3x3": 12, "1x1": 20, "5x5": 10}
    assert (row["total_filters"], row["num_filters"]) == (22, 12)
    assert row["share_3x3"] == pytest.approx(12 / 22)
    assert row["num_conv_layers"] == 3


def test_a_full_disk_fails_what_does_not_fit_and_the_next_run_goes_on(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "models"
    source.mkdir()
    torch.save({"conv.weight": conv(0, 100, 100)}, source / "large.pth")  # 360 kB on a disk of 256 kB
    torch.save({"conv.weight": conv(1)}, source / "small.pth")
    assert extract(run_of(source, small_disk / "store", max_attempts=1)) == 1
    said = capsys.readouterr().out
    assert "listed 2 = extracted 1 + already there 0 + skipped 0 + failed 1" in said
    assert "no space left" in " ".join(said.split())
    # With room, nothing is asked for: a full disk may pass, so the model is tried again.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(small_disk / "store", elsewhere)
    assert extract(run_of(source, elsewhere)) == 0
    assert "extracted 1 + already there 1 + skipped 0 + failed 0" in capsys.readouterr().out
    assert not list((elsewhere / "failures").glob("*.parquet"))


def test_a_permanent_failure_is_kept_until_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, store = tmp_path / "models", tmp_path / "store"
    source.mkdir()
    make_good(source)
    run = run_of(source, store)
    (reference,) = [r for r in list_references(run.source) if r.name == "half"]
    Store.open(run.store).write_failure(
        reject_of(Outcome(reference, OutcomeKind.FAILED, reason="PermanentError", message="refused", retryable=False))
    )
    assert extract(run) == 1
    assert "extracted 2 + already there 0 + skipped 0 + failed 1" in capsys.readouterr().out
    assert extract(run_of(source, store, retry=Retry.failed)) == 0
    assert "extracted 1 + already there 2 + skipped 0 + failed 0" in capsys.readouterr().out
