"""Full disks, missing permissions, errors on the way, killed writers: nothing visible, nothing lost."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest

from distributed.errors import RetryableError, SkipReason, StoreError, UnextractableError, UnusableStoreError
from distributed.store import Store, StoreSettings, WriteReceipt
from distributed.store import backends as backends_module
from distributed.store import staging as staging_module
from tests.disks import small_disk
from tests.distributed.store import build
from tests.distributed.store.build import MODEL_ID, OTHER_ID
from tests.s3 import S3Server

__all__ = ["small_disk"]


def write(
    store: Store, model_id: str = MODEL_ID, shapes: tuple[tuple[int, int], ...] = ((4, 3), (8, 4))
) -> WriteReceipt:
    layers = build.weights(0, shapes)
    return store.write_model(model_id, build.batches(model_id, layers), build.finish(model_id, layers))


def payload(path: Path, store: Store, shapes: tuple[tuple[int, int], ...] = ((4, 3), (8, 4), (8, 1))) -> str:
    """All that a child process writes, made here: it need not import torch to make it again."""
    layers = build.weights(0, shapes)
    found = (store, list(build.batches(MODEL_ID, layers)), build.finish(MODEL_ID, layers)())
    path.write_bytes(pickle.dumps(found))
    return str(path)


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)


def staging_of(store: Store) -> list[Path]:
    folder = store._backend.staging_folder()
    return sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Staging for S3 is under TMPDIR: of this test alone."""
    folder = tmp_path_factory.mktemp("tmp")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)


def assert_nothing_happened(store: Store) -> None:
    assert store.model_ids() == set()
    assert not store.has_model(MODEL_ID)
    assert staging_of(store) == []


def test_an_error_of_the_batches_passes_through(store: Store) -> None:
    """Also an OSError: it is about the checkpoint, not about the store."""
    layers = build.weights()
    for error in (
        UnextractableError(SkipReason.NON_FINITE, "conv1: NaN"),
        FileNotFoundError("model.pth"),
        KeyboardInterrupt(),
    ):

        def batches(error: BaseException = error) -> Iterator[pa.RecordBatch]:
            yield from build.batches(MODEL_ID, layers[:1])
            raise error

        with pytest.raises(type(error)) as caught:
            store.write_model(MODEL_ID, batches(), build.finish(MODEL_ID, layers))
        assert caught.value is error
        assert_nothing_happened(store)
    assert store.write_model(MODEL_ID, build.batches(MODEL_ID, layers), build.finish(MODEL_ID, layers)).created


def test_contradictions_are_refused(local_store: Store) -> None:
    layers = build.weights()
    cases = [
        (build.batches(MODEL_ID, layers[:2]), build.finish(MODEL_ID, layers), r"layers promise .* filters hold None"),
        (build.batches(MODEL_ID, layers), build.finish(MODEL_ID, layers[:2]), "layers promise .*None, filters hold"),
        (build.batches(MODEL_ID, layers[::-1]), build.finish(MODEL_ID, layers), "layers promise"),
        (build.batches(MODEL_ID, layers), build.finish(OTHER_ID, layers), f"models row is of {OTHER_ID}"),
        (
            build.batches(MODEL_ID, layers),
            lambda: (build.model_row(MODEL_ID, layers), build.layers_table(OTHER_ID, layers)),
            "name another model_id",
        ),
        (
            build.batches(MODEL_ID, layers),
            lambda: (build.model_row(MODEL_ID, layers[:2]), build.layers_table(MODEL_ID, layers)),
            "models row promises 44 filters in 2 layers, found 52 in 3",
        ),
        (
            build.batches(MODEL_ID, layers),
            lambda: (build.model_row(MODEL_ID, layers), build.layers_table(MODEL_ID, layers).drop_columns("dtype")),
            "LAYERS_SCHEMA",
        ),
        ((b.select(["w0"]) for b in build.batches(MODEL_ID, layers)), build.finish(MODEL_ID, layers), "FILTERS_SCHEMA"),
        (
            (part for b in build.batches(MODEL_ID, layers) for part in (b.slice(0, 20), b.slice(20))),
            build.finish(MODEL_ID, layers),
            "batches of 131072 rows, the last one smaller",
        ),
    ]
    for batches, finish, expected in cases:
        with pytest.raises(ValueError, match=expected):
            local_store.write_model(MODEL_ID, batches, finish)
        assert_nothing_happened(local_store)


@pytest.mark.parametrize("filters", [60_000, 6_400])
def test_a_full_disk(small_disk: Path, filters: int) -> None:
    """Full in the middle of the filters, and (6 400 x 36 bytes just fit) at the small files after them."""
    store = Store.open(StoreSettings(str(small_disk / "store")))
    with pytest.raises(UnusableStoreError) as caught:
        write(store, shapes=((filters // 100, 100),) * 1 + ((1, 1),) * 40)
    assert "no space left in" in str(caught.value)
    assert str(small_disk) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_nothing_happened(store)
    assert write(store).created  # what was staged has given its space back


def test_a_file_size_limit(tmp_path: Path) -> None:
    """Where mounting isn't permitted: the kernel's own limit, in a process of its own."""
    code = """
import pickle, resource, signal, sys
from distributed.errors import RetryableError
store, batches, finished = pickle.load(open(sys.argv[1], "rb"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.write_model(finished[0].model_id, batches, lambda: finished)
except RetryableError as error:
    print(error)
"""
    store = Store.open(StoreSettings(str(tmp_path / "store")))
    done = run(code, payload(tmp_path / "payload", store, ((200, 100),)))
    assert "File too large" in done.stdout, done.stderr
    assert_nothing_happened(store)


def test_a_full_staging_disk_for_s3(s3_store: Store, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(RetryableError, match=f"no space left in {small_disk}"):
        write(s3_store, shapes=((600, 100),))
    assert_nothing_happened(s3_store)


@pytest.mark.parametrize("name", ["models", "filters", "skips", ".staging"])
def test_a_file_in_place_of_a_folder(local_store: Store, name: str) -> None:
    root = Path(local_store.uri)
    root.mkdir()
    (root / name).write_text("in the way")
    action = (lambda: local_store.write_skip(build.reject())) if name == "skips" else (lambda: write(local_store))
    with pytest.raises(RetryableError, match=f"cannot write in {root}"):
        action()
    assert (root / name).read_text() == "in the way"


def test_a_read_only_file_system(tmp_path: Path) -> None:
    """Not even root writes there."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder = tmp_path / "frozen"
    folder.mkdir()
    if libc.mount(b"none", bytes(folder), b"tmpfs", 1, b"size=64k") != 0:  # 1: MS_RDONLY
        pytest.skip(f"mounting is not permitted ({os.strerror(ctypes.get_errno())})")
    try:
        store = Store.open(StoreSettings(str(folder / "store")))
        for action in (
            store.prepare,
            store.probe_writing,
            lambda: write(store),
            lambda: store.write_skip(build.reject()),
        ):
            with pytest.raises(
                UnusableStoreError, match=f"no permission to write in {folder}.*choose another store.uri"
            ):
                action()
    finally:
        assert libc.umount(bytes(folder)) == 0


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_no_permission(local_store: Store) -> None:
    root = Path(local_store.uri)
    root.mkdir(mode=0o500)
    with pytest.raises(UnusableStoreError, match="no permission to write in"):
        write(local_store)


def test_a_missing_bucket(s3_server: S3Server) -> None:
    store = Store.open(StoreSettings("s3://no-such-bucket/x", endpoint_url=s3_server.endpoint_url))
    for action in (
        store.prepare,
        store.probe_writing,
        lambda: store.has_model(MODEL_ID),
        lambda: write(store),
        store.models,
    ):
        with pytest.raises(UnusableStoreError, match="bucket 'no-such-bucket' does not exist"):
            action()


KILLED = """
import os, pickle, signal, sys

(store, batches, finished), stage = pickle.load(open(sys.argv[1], "rb")), sys.argv[2]

def die(now):
    if now == stage:
        os.kill(os.getpid(), signal.SIGKILL)

def stream():
    for batch in batches:
        yield batch
        die("filters")

def finish():
    die("finish")
    return finished

backend = type(store._backend)
def publish(self, file, path, real=backend.publish):
    die("before " + path.split("/")[0])
    real(self, file, path)
def publish_new(self, file, path, real=backend.publish_new):
    die("before models")
    real(self, file, path)
    die("after models")
backend.publish, backend.publish_new = publish, publish_new
store.write_model(finished[0].model_id, stream(), finish)
"""


@pytest.mark.parametrize(
    "stage", ["filters", "finish", "before filters", "before layers", "before models", "after models"]
)
def test_a_killed_writer_leaves_nothing_visible(store: Store, stage: str, tmp_path: Path) -> None:
    done = run(KILLED, payload(tmp_path / "payload", store), stage)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert staging_of(store) != []  # it had no chance to tidy up
    complete = stage == "after models"
    assert store.model_ids() == ({MODEL_ID} if complete else set())
    if not complete:
        with pytest.raises(StoreError, match="holds no models"):
            store.models()
    layers = build.weights()
    receipt = store.write_model(MODEL_ID, build.batches(MODEL_ID, layers), build.finish(MODEL_ID, layers))
    assert receipt.created is not complete
    assert store.models()["num_filters"].to_pylist() == [52]
    assert store.layers().equals(build.layers_table(MODEL_ID, layers))
    with store.open_filters(MODEL_ID) as file:
        assert file.metadata.num_rows == 52
    write(store, OTHER_ID)  # whichever model is written next removes what the dead left
    assert staging_of(store) == []


def test_two_processes_make_one_model(store: Store, tmp_path: Path) -> None:
    """Both have staged everything before either publishes."""
    code = """
import pickle, sys
store, batches, finished = pickle.load(open(sys.argv[1], "rb"))
def finish():
    print("staged", flush=True)
    sys.stdin.readline()
    return finished
print(store.write_model(finished[0].model_id, batches, finish).created)
"""
    command = [sys.executable, "-c", code, payload(tmp_path / "payload", store)]
    with ExitStack() as stack:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(2)]
        for process in processes:
            stack.callback(process.kill)
        assert [process.stdout.readline() for process in processes] == ["staged\n", "staged\n"]
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = sorted(process.communicate(timeout=60)[0] for process in processes)
    assert answers == ["False\n", "True\n"]
    assert store.models().num_rows == 1


def test_the_living_are_not_swept(tmp_path: Path) -> None:
    with staging_module.staged(tmp_path, MODEL_ID) as mine:
        mine.path("filters.parquet").write_bytes(b"x")
        with staging_module.staged(tmp_path, MODEL_ID):
            assert mine.path("filters.parquet").exists()
        assert staging_module.sweep(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_other_machines_wait_a_day(tmp_path: Path) -> None:
    for age in (0.0, staging_module.FOREIGN_AGE_SECONDS + 60):
        token = f"{MODEL_ID}~elsewhere~{int(age)}"
        for name in (".lock", ".filters.parquet"):
            (tmp_path / (token + name)).write_bytes(b"")
            os.utime(tmp_path / (token + name), (time.time() - age,) * 2)
    assert staging_module.sweep(tmp_path) == [token]
    assert len(list(tmp_path.iterdir())) == 2


def test_without_hard_links(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT and some network mounts: still one model, by looking first."""

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(backends_module.os, "link", no_links)
    assert write(local_store).created
    assert not write(local_store).created
    assert local_store.models().num_rows == 1


def test_without_locks(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without flock: writing works, nothing of anybody else is removed."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    folder = local_store._backend.staging_folder()
    folder.mkdir(parents=True)
    other = folder / f"{OTHER_ID}~elsewhere~1.lock"
    other.write_bytes(b"")
    os.utime(other, (0, 0))
    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert write(local_store).created
    assert staging_of(local_store) == [other]
