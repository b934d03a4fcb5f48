"""Runs of the samples on a real Ray of several nodes into S3, what disturbs them, and what must be true afterwards."""

from __future__ import annotations

import io
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from ray.cluster_utils import Cluster

from analysis.shift.measure import measure
from analysis.shift.settings import ShiftSettings
from distributed.driver import extract
from distributed.errors import FilterShiftError
from distributed.settings import ClusterSettings, ExtractionRun, ExtractSettings, ProgressStyle
from distributed.sources.settings import SampleSettings, SourceSettings
from distributed.store.settings import StoreSettings
from distributed.upkeep.settings import Verify
from distributed.upkeep.verify import verify
from tests.s3 import S3Server
from tests.s3_proxy import CUT, Rules, proxy

REPOSITORY = Path(__file__).resolve().parents[2]

SAMPLES = ("digits-*", "maps-*")

#: Of requests: the first upload of a model that has been read.
UPLOAD = r"^PUT /[^/]+/store/filters/"

Disturbance = Callable[[str], tuple[int, str] | None]


@dataclass
class Ended:
    """How a run ended.

    Attributes:
        said: on standard output.
        error: that ended it.
        seconds: it took.
        noticed: monotonic time at which it first spoke of a failure, or ended by one.
    """

    said: str
    error: FilterShiftError | None
    seconds: float
    noticed: float | None

    @property
    def counts(self) -> dict[str, int]:
        """Of the closing line, ``listed`` among them, which has been found to add up."""
        return counts_of(self.said)


def counts_of(said: str) -> dict[str, int]:
    """See ``Ended.counts``."""
    [line] = re.findall(r"^listed \d+ = .*$", said, re.MULTILINE)
    counts = {kind: int(number) for kind, number in re.findall(r"([a-z][a-z ]*) (\d+)", line)}
    assert counts["listed"] == sum(counts.values()) - counts["listed"], line
    return counts


class _Clocked(io.StringIO):
    """Standard output that knows when something was first said of a failure."""

    noticed: float | None = None

    def write(self, text: str) -> int:
        if self.noticed is None and text.startswith(("retry:", "failed:")):
            self.noticed = time.monotonic()
        return super().write(text)


@dataclass
class Laboratory:
    """Where runs are disturbed: one Ray, one S3 service behind a proxy, one folder for temporary files.

    Attributes:
        cluster: a head of one CPU, to add nodes to.
        server: behind the proxy.
        temporary: what TMPDIR is in every process.
    """

    cluster: Cluster
    server: S3Server
    temporary: Path
    endpoint: str = ""
    rules: Rules = field(default_factory=Rules)
    samples: tuple[str, ...] = SAMPLES

    def store(self, bucket: str) -> StoreSettings:
        return StoreSettings(f"s3://{bucket}/store", self.endpoint)

    def run(
        self,
        bucket: str,
        disturb: Disturbance | None = None,
        source: SourceSettings | None = None,
        **cluster: float | None,
    ) -> Ended:
        """A run in this process, of the samples and with one actor unless something else is asked for."""
        settings = ClusterSettings(**{"address": "auto", "actors": 1, "wait": 60.0, **cluster})  # type: ignore[arg-type]
        source = source or SampleSettings(models=self.samples)
        chosen = ExtractSettings(progress=ProgressStyle.plain, trace=False)
        began, output, error = time.monotonic(), _Clocked(), None
        self.rules.disturb = disturb
        try:
            with redirect_stdout(output):
                extract(ExtractionRun(source, self.store(bucket), settings, chosen))
        except FilterShiftError as raised:
            error, output.noticed = raised, output.noticed or time.monotonic()
        finally:
            self.rules.disturb = None
        return Ended(output.getvalue(), error, time.monotonic() - began, output.noticed)

    def start(self, bucket: str) -> subprocess.Popen[str]:
        """The same run in a process of its own."""
        options = (
            f"source.models=[{','.join(self.samples)}]",
            *("cluster=ray", f"cluster.address={self.cluster.address}", "cluster.actors=1"),
            *(
                f"store.uri={self.store(bucket).uri}",
                f"store.endpoint_url={self.endpoint}",
                "extract.progress=plain",
                "extract.trace=false",
            ),
        )
        command = [sys.executable, "launch/extract.py", *options]
        return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def rows(self, bucket: str, *, timed: bool = False) -> dict[str, pa.Table]:
        """Key → rows of every model's files; unless ``timed``, without the time it was extracted at."""
        found = {}
        for key, data in self.server.objects(bucket).items():
            if re.match(r"store/(models|layers|filters|skips|failures)/.*\.parquet", key):
                table = pq.read_table(io.BytesIO(data)).replace_schema_metadata(None)
                found[key] = table if timed or "/models/" not in key else table.drop_columns(["extracted_at"])
        return found

    def drifts(self, bucket: str) -> list[pa.Table]:
        """What the shift of the store finds, through this Ray."""
        settings = ShiftSettings(
            store=self.store(bucket), cluster=ClusterSettings(address="auto"), axes=("task", "depth"), replicates=50
        )
        return [shift.pairs() for shift in measure(settings).shifts]

    def check(self, bucket: str, undisturbed: dict[str, pa.Table]) -> None:
        """Nobody sees that anything happened."""
        assert self.rows(bucket) == undisturbed
        with redirect_stdout(io.StringIO()) as said:
            code = verify(Verify(self.store(bucket).uri, self.endpoint))
        assert code == 0, said.getvalue()
        until = time.monotonic() + 20
        while actors_of(self.cluster) and time.monotonic() < until:
            time.sleep(0.1)
        assert not actors_of(self.cluster)
        assert not [path for folder in self.temporary.glob("cnn-filter-shift-*") for path in folder.iterdir()]


@contextmanager
def laboratory(cluster: Cluster, server: S3Server, temporary: Path) -> Iterator[Laboratory]:
    """One on a cluster whose TMPDIR is ``temporary``."""
    made = Laboratory(cluster, server, temporary)
    with patch.object(tempfile, "tempdir", str(temporary)), proxy(server, made.rules) as made.endpoint:
        yield made


def actors_of(cluster: Cluster) -> list[psutil.Process]:
    """The processes of actors on its nodes, those that have a model first."""
    found = []
    for node in [*cluster.list_all_nodes()]:
        for each in node.all_processes.get("raylet", []):
            if each.process.poll() is None:
                for process in psutil.Process(each.process.pid).children():
                    try:
                        title = process.cmdline()[0]
                    except (psutil.NoSuchProcess, psutil.ZombieProcess, IndexError):
                        continue
                    if title.startswith(("ray::extract ", "ray::ExtractionProcess")):
                        found.append((not title.startswith("ray::extract "), process))
    return [process for _, process in sorted(found, key=lambda each: each[0])]


class Once:
    """At the first (or ``after``: a later) request of a pattern something happens, and never again.

    Attributes:
        at: monotonic time at which it did.
    """

    def __init__(self, pattern: str, happens: Callable[[], tuple[int, str] | None], after: int = 0) -> None:
        self._pattern, self._happens, self._after = pattern, happens, after
        self._lock = threading.Lock()
        self.at: float | None = None

    def __call__(self, request: str) -> tuple[int, str] | None:
        with self._lock:
            if self.at is not None or not re.search(self._pattern, request):
                return None
            if self._after:
                self._after -= 1
                return None
            self.at = time.monotonic()
            return self._happens()


class Always(Once):
    """From such a request on every request is answered by ``refusal``."""

    def __init__(self, pattern: str, refusal: tuple[int, str], after: int = 0) -> None:
        super().__init__(pattern, lambda: refusal, after)
        self._refusal = refusal

    def __call__(self, request: str) -> tuple[int, str] | None:
        return super().__call__(request) or (self._refusal if self.at is not None else None)


def kill_an_actor(cluster: Cluster) -> None:
    """By SIGKILL, one that has a model."""
    actors_of(cluster)[0].send_signal(signal.SIGKILL)


def weather(seed: int, refused: float = 0.2) -> Disturbance:
    """Of all requests a share is answered 503, and each upload is lost half way when it is first tried."""
    chance, seen, lock = random.Random(seed), set[str](), threading.Lock()

    def disturb(request: str) -> tuple[int, str] | None:
        with lock:
            if request.startswith("PUT ") and request not in seen:
                seen.add(request)
                return CUT
            return (503, "SlowDown") if chance.random() < refused else None

    return disturb
