"""Frames of pandas 1.1, 2.2 and the installed one are read as pandas reads them; none of their pickles is run."""

from __future__ import annotations

import lzma
import pickle
import pickletools
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import tables

from benchmarks.synthetic_corpus import CorpusPlan, Layout, frame_of, write_frame
from distributed.errors import SkipReason, UnextractableError
from distributed.published.frame import Frame, read_frame
from distributed.published.object_blocks import objects_of
from tests.distributed.formats.watch import watched

DATA = Path(__file__).parent / "data"


def read(path: Path, key: str = "meta") -> Frame:
    with h5py.File(path, "r") as file:
        return read_frame(file[key], path.name)


def refused(path: Path) -> UnextractableError:
    with pytest.raises(UnextractableError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return caught.value


def unpacked(name: str, folder: Path) -> Path:
    """A file written by the version of pandas (with its NumPy and PyTables) in its name."""
    path = folder / name
    path.write_bytes(lzma.decompress((DATA / f"{name}.xz").read_bytes()))
    return path


def assert_same(found: Frame, frame: pd.DataFrame) -> None:
    """What pandas has, missing values alike."""
    expected = frame.reset_index()
    assert set(found.columns) == set(expected.columns)
    assert found.rows == len(frame)
    for name in expected:
        ours = [None if value is None or value != value else value for value in found.columns[name].tolist()]
        theirs = [None if pd.isna(value) else value for value in expected[name].tolist()]
        assert ours == theirs, name


@pytest.mark.parametrize("layout", list(Layout))
def test_a_frame_of_the_installed_pandas(layout: Layout, tmp_path: Path) -> None:
    frame = frame_of(CorpusPlan(5, (12, 30), layout))
    write_frame(tmp_path / "frame.h5", frame)
    found = read(tmp_path / "frame.h5")
    assert_same(found, frame)
    assert found.index == tuple(frame.index.names)


def test_a_frame_whose_texts_are_objects(tmp_path: Path) -> None:
    frame = frame_of(CorpusPlan(5, (12, 30))).astype(dict.fromkeys(("filter_ids", "model", "Task"), object))
    frame["Long"] = ["x" * 100_000 + "é", *[None] * 9]
    frame["Bytes"] = [b"\x00\xff", *[b""] * 9]
    write_frame(tmp_path / "frame.h5", frame)
    assert_same(read(tmp_path / "frame.h5"), frame)


@pytest.mark.parametrize("name", ["pandas1.1.4_v1.0.h5", "pandas1.1.4_robustness.h5", "pandas2.2.3_v1.0.h5"])
def test_a_frame_of_an_old_pandas(name: str, tmp_path: Path) -> None:
    found = read(unpacked(name, tmp_path))
    assert found.columns["model_id"].tolist() == [0, 0, 7, 7, 7]
    assert found.columns["conv_depth_norm"].tolist() == [0.0, 1.0, 0.0, 1.0, 1.0]
    assert found.columns["filter_ids"].tolist() == ["0:8", "9:17", "18:26", "27:35", "36:44"]
    assert found.columns["model"].tolist() == ["a_1", "a_1", "bé", "bé", "bé"]
    assert found.columns["Paper"].tolist() == [None, None, "x", "x", "x"]
    assert found.columns["Pretraining-Dataset"].tolist() == [False, False, "imagenet", "imagenet", "imagenet"]
    assert found.columns["op_set"].tolist() == [13, 13, 9, 9, 9]
    assert str(found.columns["When"][0]).startswith("2021-02-03")
    assert np.isnan(found.columns["Conv"][2:]).all()
    if "robustness" in name:
        assert found.index == ("model_id", "conv_depth", "conv_depth_norm", "layer_id")
        assert found.columns["Robust"].tolist() == [True, True, False, False, False]


def test_the_bytes_of_a_csv(tmp_path: Path) -> None:
    frame = frame_of(CorpusPlan(3, (12, 30))).reset_index()
    text = frame.to_csv(index=False).encode()
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["meta"] = np.void(text)
        file["pieces"] = np.frombuffer(text, np.uint8)
        file["text"] = text.decode()
    for key in ("meta", "pieces", "text"):
        found = read(tmp_path / "one.h5", key)
        assert found.columns["filter_ids"].tolist() == frame["filter_ids"].tolist()
        assert found.columns["conv_depth_norm"].tolist() == frame["conv_depth_norm"].tolist()


class _Hostile:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def with_object_block(path: Path, content: np.ndarray) -> Path:
    """A frame whose first object block is ``content``, pickled as PyTables does it."""
    write_frame(path, pd.DataFrame({"filter_ids": pd.Series(["0:9", None], dtype=object)}))
    with tables.open_file(path, "a") as file:
        old = file.get_node("/meta/block0_values")
        attributes = {name: old.attrs[name] for name in old.attrs._v_attrnamesuser}
        file.remove_node("/meta/block0_values")
        new = file.create_vlarray("/meta", "block0_values", tables.ObjectAtom())
        new.append(content)
        for name, value in attributes.items():
            new.attrs[name] = value
    return path


def test_a_hostile_pickle_in_a_block_is_refused_and_not_run(tmp_path: Path) -> None:
    import os

    ran = tmp_path / "ran"
    objects = np.array(["0:9", _Hostile(os.system, f"touch {ran}")], object)
    path = with_object_block(tmp_path / "hostile.h5", objects.reshape(2, 1))
    refused(path)  # once before, so that what our own reading imports is there
    with watched() as seen:
        error = refused(path)
    assert error.reason is SkipReason.UNSAFE_PICKLE
    assert "system" in str(error)
    assert "block0_values" in str(error)
    assert (seen, ran.exists()) == ([], False)
    pd.read_hdf(path, "meta")
    assert ran.exists()  # pandas runs it


# Not print: Ray puts its own in its place.
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "function", [exec, eval, zlib.decompress, np.load, np.array, np.dtype, h5py.File, Path, getattr, dict]
)
def test_no_name_beside_four_is_taken(function: Any, protocol: int) -> None:
    data = pickle.dumps(np.array([_Hostile(function, "i4"), "x"], object), protocol)
    is_one = function is np.dtype  # but no text
    reason = SkipReason.UNREADABLE if is_one else SkipReason.UNSAFE_PICKLE
    with pytest.raises(UnextractableError) as caught:
        objects_of(data, "file")
    assert caught.value.reason is reason


@pytest.mark.parametrize("protocol", range(2, 6))
def test_objects_of_every_protocol(protocol: int) -> None:
    values = np.array([["a", None, True], ["é" * 70_000, 1.5, 2**60], [float("inf"), "", -1]], object)
    for array in (values, np.asfortranarray(values), values[:0], values.T):
        assert objects_of(pickle.dumps(array, protocol), "file").tolist() == array.tolist()


def test_damaged_objects_are_said() -> None:
    data = pickle.dumps(np.array(["a", "b"], object))
    ends = [position for _, _, position in pickletools.genops(data)]
    for end in [*ends, 0]:
        with pytest.raises(UnextractableError) as caught:
            objects_of(data[:end], "file")
        assert caught.value.reason is SkipReason.UNREADABLE
    for other in (np.arange(3), ["a"], {"a": 1}, "text"):
        with pytest.raises(UnextractableError):
            objects_of(pickle.dumps(other), "file")


def test_what_is_no_such_frame_says_what_to_do(tmp_path: Path) -> None:
    frame = frame_of(CorpusPlan(2, (12, 30)))
    path = tmp_path / "frame.h5"
    frame[["op_set"]].to_hdf(path, key="meta", format="table")
    assert "format='fixed'" in str(refused(path))
    for part in ("axis0", "axis1_label1", "axis1_level0", "block1_values", "block0_items"):
        write_frame(path, frame)
        with h5py.File(path, "a") as file:
            del file[f"meta/{part}"]
        assert refused(path).reason is SkipReason.UNREADABLE
    write_frame(path, frame)
    with h5py.File(path, "a") as file:
        file["meta/axis1_label0"][0] = 100
    assert "outside its values" in str(refused(path))
