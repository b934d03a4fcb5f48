"""What a run counts, on the Prometheus endpoint of a real Ray; the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from distributed import metrics
from distributed.metrics import Stage, stage
from distributed.store import Store
from distributed.store.settings import StoreSettings
from tests.conftest import REPOSITORY

#: Two runs one after the other in Rays of their own, both by one process; in the first an actor is killed at work.
#: Prints what the endpoint of each says a moment before it goes.
RUNS = """
import json, os, signal, sys, tempfile, threading, time, urllib.request
import psutil, ray
from distributed.driver import extract
from distributed.settings import ClusterSettings, ExtractionRun, ExtractSettings
from distributed.sources.settings import LocalSettings, SampleSettings
from distributed.store.settings import StoreSettings

def kill_one_at_work(done):
    while not done.is_set():
        for process in psutil.Process().children(recursive=True):
            try:
                if " ".join(process.cmdline()).startswith("ray::extract "):
                    process.send_signal(signal.SIGKILL)
                    return
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.002)

def scraped(until):
    node = ray.nodes()[0]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(address) as answer:
            text = answer.read().decode()
        if all(name in text for name in until) or time.monotonic() > deadline:
            time.sleep(2.5)  # the rest of the same report
            with urllib.request.urlopen(address) as answer:
                return answer.read().decode()
        time.sleep(0.5)

folder = sys.argv[1]
for source, kills, until in (
    (SampleSettings(models=("digits-*", "maps-*")), True, ("_retries_total", "_stage_seconds_total")),
    (LocalSettings(folder + "/broken"), False, ('outcome="skipped"',)),
):
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=128 * 2**20,
                 _temp_dir=temporary, log_to_driver=False, _system_config={"metrics_report_interval_ms": 1000})
        done = threading.Event()
        if kills:
            threading.Thread(target=kill_one_at_work, args=(done,)).start()
        run = ExtractionRun(source, StoreSettings(folder + "/store"), ClusterSettings(), ExtractSettings())
        code = extract(run)
        done.set()
        print(json.dumps({"exit": code, "text": scraped(until)}), file=sys.stderr)
        ray.shutdown()
"""

SERIES = re.compile(r"^(ray_filter_shift_\w+)\{(.*)\} (\S+)$", re.MULTILINE)


def sums(text: str) -> dict[str, dict[str, float]]:
    """Metric → value of its own label ("" without one) → sum over processes."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, labels, number in SERIES.findall(text):
        own = re.search(r'(?:^|,)(?:outcome|reason|stage|what)="([^"]*)"', labels)
        found[name][own.group(1) if own else ""] += float(number)
    return found


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, float]]]:
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "broken").mkdir()
    (folder / "broken" / "net.pth").write_bytes(b"no checkpoint")
    done = subprocess.run(
        [sys.executable, "-c", RUNS, str(folder)], cwd=REPOSITORY, capture_output=True, text=True, timeout=280
    )
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"exit"')]
    assert [each["exit"] for each in told] == [0, 0], done.stdout + done.stderr
    filters = sum(row["num_filters"] for row in Store.open(StoreSettings(str(folder / "store"))).models().to_pylist())
    return [*(sums(each["text"]) for each in told), {"store": {"": filters}}]


@pytest.mark.ray
def test_an_endpoint_tells_what_a_run_did(endpoints: list[dict[str, dict[str, float]]]) -> None:
    first, second, store = endpoints
    assert first["ray_filter_shift_models_total"] == {"extracted": 6}
    assert first["ray_filter_shift_filters_total"][""] == store["store"][""]
    assert first["ray_filter_shift_bytes_read_total"][""] > 1e6
    assert first["ray_filter_shift_retries_total"] == {"ActorDied": 1}
    assert first["ray_filter_shift_stage_seconds_total"].keys() == set(map(str, Stage))
    assert first["ray_filter_shift_waiting"].keys() == {"models", "actors"}
    assert second["ray_filter_shift_models_total"] == {"skipped": 1}, "a second Ray of the same process begins anew"


@pytest.mark.ray
def test_the_dashboard_asks_for_what_there_is(endpoints: list[dict[str, dict[str, float]]]) -> None:
    dashboards = sorted((REPOSITORY / "launch/grafana").glob("*.json"))
    assert dashboards
    there = {name for endpoint in endpoints for name in endpoint}
    labels = "outcome|reason|stage|what|SessionName"
    for path in dashboards:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        asked += [each["query"] for each in dashboard["templating"]["list"]]
        named = {name for expression in asked for name in re.findall(r"\bray_\w+", expression)}
        assert named <= there
        assert {name for name in there if name.startswith("ray_")} <= named, "each metric is shown"
        for expression in asked:
            assert expression.count("(") == expression.count(")")
            assert all(re.fullmatch(labels, each) for each in re.findall(r"by \((\w+)\)", expression))
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)


def test_a_stage_inside_another_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: dict[str, float] = defaultdict(float)
    clock = iter([0.0, 1.0, 3.0, 4.0, 4.5, 10.0])
    monkeypatch.setattr(metrics.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(metrics, "_add", lambda metric, amount, value: counted.update({value: counted[value] + amount}))
    with stage(Stage.WRITE):
        with stage(Stage.READ):
            pass
        with stage(Stage.MEASURE):
            pass
    assert counted == {"write": 7.5, "read": 2.0, "measure": 0.5}


def test_a_dashboard_is_beside_the_other_files_of_a_deployment() -> None:
    assert Path(REPOSITORY / "launch/grafana/extraction.json").is_file()
