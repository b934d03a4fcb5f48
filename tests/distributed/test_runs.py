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

from distributed.driver import extract
from distributed.errors import UnusableStoreError
from distributed.settings import ClusterSettings, ExtractionRun, ExtractSettings, ProgressStyle, Retry
from distributed.sources.settings import LocalSettings
from distributed.store.settings import StoreSettings
from tests.disks import small_disk
from tests.distributed.checkpoint_files import conv

__all__ = ["small_disk"]

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def run_of(source: Path, store: Path, **settings: object) -> ExtractionRun:
    chosen = ExtractSettings(**{"progress": ProgressStyle.plain, **settings})  # type: ignore[arg-type]
    return ExtractionRun(LocalSettings(path=str(source)), StoreSettings(str(store)), ClusterSettings(actors=1), chosen)


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
    lines = capsys.readouterr().out.splitlines()
    assert "listed 12 = extracted 3 + already there 0 + skipped 9 + failed 0" in lines
    assert not trap.exists()
    skips = {row["name"]: row for row in pq.read_table(store / "skips").to_pylist()}
    assert {name: row["reason"] for name, row in skips.items()} == {
        name: reason for name, (reason, _) in expected.items()
    }
    for name, (_, words) in expected.items():
        assert words in skips[name]["message"], skips[name]["message"]
        assert "\n" not in skips[name]["message"]
        assert f"skipped: {name}: {skips[name]['message']}" in lines
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


def test_a_full_disk_ends_the_run_once_and_the_next_one_goes_on(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "models"
    source.mkdir()
    torch.save({"conv.weight": conv(0, 100, 100)}, source / "large.pth")  # 360 kB on a disk of 256 kB
    torch.save({"conv.weight": conv(1)}, source / "small.pth")
    with pytest.raises(UnusableStoreError, match="no space left"):
        extract(run_of(source, small_disk / "store"))
    said = capsys.readouterr().out
    assert "listed 2 = extracted 0 + already there 0 + skipped 0 + failed 0 + not finished 2" in said
    assert "retry" not in said
    # With room, nothing is asked for: no model was to blame.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(small_disk / "store", elsewhere)
    assert extract(run_of(source, elsewhere)) == 0
    assert "extracted 2 + already there 0 + skipped 0 + failed 0" in capsys.readouterr().out
    assert not list((elsewhere / "failures").glob("*.parquet"))
