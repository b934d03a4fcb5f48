"""What a reference says of its files before any is read."""

from __future__ import annotations

import pytest

from distributed.formats.range_plan import BATCH_BYTES
from distributed.references import HELD_OF_RANGES, FileReference, ModelReference

GIB = 2**30


@pytest.mark.parametrize(
    ("files", "held"),
    [
        ({"model.safetensors": 3 * GIB}, HELD_OF_RANGES),
        ({"model.safetensors": 1000}, 1000),
        ({"model.safetensors.index.json": 10, "a.safetensors": 5 * GIB, "b.safetensors": GIB}, HELD_OF_RANGES + 10),
        ({"pytorch_model.bin": 10 * GIB}, HELD_OF_RANGES),
        ({"weights.pkl": 3 * GIB}, 3 * GIB),
        ({"model.onnx": GIB}, GIB),
        ({"model.onnx": 100, "model.onnx_data": 9 * GIB}, HELD_OF_RANGES + 100),
        ({}, 0),
    ],
)
def test_of_what_is_read_in_ranges_some_batches_are_held(files: dict[str, int], held: int) -> None:
    listed = tuple(FileReference(path, size) for path, size in files.items())
    assert ModelReference("hub", "net", "lab/net", "c0ffee", listed).held_bytes == held
    assert HELD_OF_RANGES >= 3 * BATCH_BYTES
