"""Random and damaged torch files: read or refused in one line, bounded, and without anything being run.

The long run, by name: ``FUZZ_SECONDS=3600 FUZZ_SEED=1 pytest -m slow -s -k for_long tests/distributed/formats``
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distributed.errors import UnextractableError
from distributed.formats.pickle_values import STORAGE_DTYPES
from tests.distributed.formats.helpers import open_paths
from tests.distributed.formats.pickles import entries, legacy, named, number, plain, tensor, text, whole, zipped
from tests.distributed.formats.watch import watched

pytestmark = pytest.mark.usefixtures("each_source")

#: More than any input here holds, and what its expanded tensors may add to it.
MOST_BYTES = 70_000_000


def seeds() -> list[bytes]:
    """Sound files of every kind, small, so that a changed byte matters."""
    state = {"conv.weight": torch.arange(18.0).reshape(2, 1, 3, 3), "bn": torch.ones(2)}
    arrays = {name: each.numpy() for name, each in state.items()}
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    trees: list[Any] = [{"state_dict": state, "epoch": 3}, {"model": module, "loss": np.float64(1)}, arrays]
    found = []
    for tree in trees:
        for protocol in (2, 4):
            for is_zip in (True, False):
                buffer = io.BytesIO()
                torch.save(tree, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
                found.append(buffer.getvalue())
            found.append(pickle.dumps(tree, protocol=protocol))
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    return [*found, buffer.getvalue()]


@pytest.fixture(scope="module", autouse=True)
def good(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    with pytest.warns(FutureWarning):  # torch.jit
        found = seeds()
    path = tmp_path_factory.mktemp("good") / "m.pth"
    for content in found:  # what reading imports, it has imported before anything is watched
        with open_paths(plain(path, content)) as checkpoint:
            list(checkpoint.read([entry.name for entry in checkpoint.entries]))
    return found


def survive(path: Path) -> bool:
    """Whether the file is read; refused is as good. Anything else is a finding."""
    refusal: UnextractableError | None = None
    with watched() as seen:
        try:
            with open_paths(path) as checkpoint:
                total = sum(t.nbytes for _, t in checkpoint.read([e.name for e in checkpoint.entries]))
        except UnextractableError as caught:
            refusal, total = caught, 0
    assert seen == []
    assert total <= MOST_BYTES
    if refusal is not None:
        assert refusal.place.file == path.name
        assert "\n" not in str(refusal)
        assert len(str(refusal)) < 2000
    return refusal is None


def mutated(content: bytes, pick: Callable[[int, int], int]) -> bytes:
    """A few bytes of a file changed, removed or repeated."""
    changed = bytearray(content)
    for _ in range(pick(1, 4)):
        place = pick(2, len(changed) - 1)
        match pick(0, 5):
            case 0:
                del changed[place : place + pick(1, 20)]
            case 1:
                changed[place:place] = changed[place : place + pick(1, 40)]
            case 2:
                changed[place] ^= 1 << pick(0, 7)
            case _:
                changed[place] = pick(0, 255)
        if len(changed) < 4:
            break
    return bytes(changed)


#: Names that mean something to the reader, with some that mean nothing and one that must never run.
NAMES = [
    *(("torch._utils", f"_rebuild_{kind}") for kind in ("tensor", "tensor_v2", "tensor_v3", "qtensor", "parameter")),
    *(("torch._utils", f"_rebuild_{kind}") for kind in ("sparse_tensor", "nested_tensor", "wrapper_subclass")),
    *(("torch._utils", f"_rebuild_{kind}") for kind in ("meta_tensor_no_storage", "device_tensor_from_numpy")),
    *(("torch._tensor", "_rebuild_from_type_v2"), ("torch", "Size"), ("torch", "float32"), ("torch", "FloatStorage")),
    *(("torch.storage", "_load_from_bytes"), ("collections", "OrderedDict"), ("numpy", "dtype"), ("numpy", "ndarray")),
    *(("numpy.core.multiarray", "_reconstruct"), ("numpy.core.numeric", "_frombuffer"), ("_codecs", "encode")),
    *(("copyreg", "_reconstructor"), ("torch.nn.parameter", "Parameter"), ("x", "Module"), ("__torch__.x", "Y")),
    *(("argparse", "Namespace"), ("builtins", "bytearray"), ("torch.jit._pickle", "restore_type_tag")),
    ("posix", "system"),
]
NAMES += [("torch", str(dtype)[6:]) for dtype in sorted(set(STORAGE_DTYPES.values()), key=str)]
STORAGES = ["FloatStorage", *STORAGE_DTYPES]
KEYS = ["model", "state_dict", "conv.weight", "_parameters", "_modules", "_buffers", "state", "optimizer", "0", ""]


def value(pick: Callable[[int, int], int], depth: int = 0) -> bytes:
    """A random value, of opcodes that fit together; now and then of some that do not."""

    def some(most: int = 4) -> list[bytes]:
        return [value(pick, depth + 1) for _ in range(pick(0, most))]

    match pick(0, 15) if depth < 6 else pick(0, 6):
        case 0:
            return number([0, 1, 3, 9, -1, 2**31, 2**62, 2**70][pick(0, 7)])
        case 1:
            return text(KEYS[pick(0, len(KEYS) - 1)])
        case 2:
            return [b"N", b"\x88", b")", b"]", b"}", b"\x8f"][pick(0, 5)]
        case 3:
            shape, kind = tuple(pick(0, 3) for _ in range(pick(0, 4))), STORAGES[pick(0, len(STORAGES) - 1)]
            return tensor(size=shape, elements=[0, 9, 2**40][pick(0, 2)], kind=kind)
        case 4:
            return named(*NAMES[pick(0, len(NAMES) - 1)], 2 + 2 * pick(0, 1))
        case 5:
            return b"C" + bytes([pick(0, 9)]) + bytes(9)
        case 6:
            return b"h" + bytes([pick(0, 3)])
        case 7 | 8:
            return entries(**{KEYS[pick(0, len(KEYS) - 1)]: each for each in some()})
        case 9:
            return b"(" + b"".join(some()) + b"l"
        case 10:
            return b"(" + b"".join(some()) + b"t"
        case 11 | 12:
            function, way = named(*NAMES[pick(0, len(NAMES) - 1)]), [b"R", b"\x81", b"}\x92"][pick(0, 2)]
            return function + b"(" + b"".join(some(7)) + b"t" + way
        case 13:
            return value(pick, depth + 1) + value(pick, depth + 1) + b"b"
        case 14:
            return value(pick, depth + 1) + b"q" + bytes([pick(0, 3)])
        case _:
            opcode = pickletools.opcodes[pick(0, len(pickletools.opcodes) - 1)].code.encode("latin-1")
            return opcode + bytes(pick(0, 255) for _ in range(pick(0, 9)))


def made(path: Path, pick: Callable[[int, int], int]) -> Path:
    """A random pickle in a file of a random kind."""
    data = whole(value(pick), pick(2, 5))
    match pick(0, 3):
        case 0:
            return zipped(path, data)
        case 1:
            return zipped(path, data, constants=whole(value(pick)))
        case 2:
            return legacy(path, data)
        case _:
            return plain(path, data)


FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(FUZZ, max_examples=250)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path: Path, good: list[bytes], data: st.DataObject) -> None:
    def pick(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    survive(plain(tmp_path / "m.pth", mutated(good[pick(0, len(good) - 1)], pick)))


@settings(FUZZ, max_examples=250)
@given(data=st.data())
def test_random_pickles_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    survive(made(tmp_path / "m.pth", lambda low, high: data.draw(st.integers(low, high))))


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_for_long(tmp_path: Path, good: list[bytes]) -> None:
    seconds, seed = float(os.environ.get("FUZZ_SECONDS", "120")), int(os.environ.get("FUZZ_SEED", "0"))
    rng = random.Random(seed)
    ends, count, read, slowest = time.monotonic() + seconds, 0, 0, 0.0
    while time.monotonic() < ends:
        path = tmp_path / "m.pth"
        if count % 2:
            made(path, rng.randint)
        else:
            plain(path, mutated(rng.choice(good), rng.randint))
        started = time.process_time()
        try:
            read += survive(path)
        except BaseException:
            (tmp_path / "finding.pth").write_bytes(path.read_bytes())
            print(f"finding after {count} inputs of seed {seed}: {tmp_path}/finding.pth")
            raise
        slowest = max(slowest, time.process_time() - started)
        count += 1
    print(f"{count} inputs in {seconds:.0f} s (seed {seed}): {read} read, the others refused; slowest {slowest:.2f} s")
