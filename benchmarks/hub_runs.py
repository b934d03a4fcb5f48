"""What ``benchmarks.hub`` measures, each in a process of its own: the client reads its environment at import."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import answer, arguments_of_child


def extract_one(given: dict[str, Any]) -> dict[str, Any]:
    """List and extract one repository; seconds without imports, and what the store got."""
    import torch

    from distributed.actor import outcome_of
    from distributed.extraction import extract_model
    from distributed.settings import ExtractSettings
    from distributed.sources import list_references
    from distributed.sources.settings import HubSettings
    from distributed.statistics import layer_statistics
    from distributed.store import Store
    from distributed.store.settings import StoreSettings

    layer_statistics(torch.randn(16, 16, 3, 3))  # loads the compiled loops
    store, folder = Store.open(StoreSettings(given["store"])), Path(given["scratch"])
    store.prepare()
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    [reference] = list_references(HubSettings(repos=(given["repo"],)))
    settings = ExtractSettings()
    outcome = outcome_of(reference, lambda: extract_model(reference, store, settings, torch.device("cpu"), folder))
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "size": reference.size,
        "entry": reference.entry,
        "kind": str(outcome.kind),
        "message": outcome.message,
        "files": [file.path for file in reference.files],
    }


def download(given: dict[str, Any]) -> dict[str, Any]:
    """The same files by ``hf_hub_download``."""
    from huggingface_hub import hf_hub_download

    began = time.perf_counter()
    for file in given["files"]:
        hf_hub_download(given["repo"], file, cache_dir=given["scratch"])
    return {"seconds": time.perf_counter() - began}


def list_all(given: dict[str, Any]) -> dict[str, Any]:
    """List an owner's repositories with a store's catalogue; after ``stop`` models the process ends, as one killed."""
    import os

    from distributed.hub.catalogue import StoredCatalogue
    from distributed.sources import stream_source
    from distributed.sources.settings import HubSettings
    from distributed.store import Store
    from distributed.store.settings import StoreSettings

    store = Store.open(StoreSettings(given["store"]))
    store.prepare()
    began, listed, problems = time.perf_counter(), 0, 0
    first = None
    for part in stream_source(HubSettings(author=given["author"], limit=None), StoredCatalogue(store)):
        listed += len(part.references)
        problems += sum(each.problem is not None for each in part.references)
        first = time.perf_counter() - began if first is None else first
        if given.get("stop") and listed >= given["stop"]:
            answer({"seconds": time.perf_counter() - began, "listed": listed, "first": first, "problems": problems})
            os._exit(0)
    return {"seconds": time.perf_counter() - began, "listed": listed, "first": first, "problems": problems}


def extract_many(given: dict[str, Any]) -> dict[str, Any]:
    """The whole run by actors of a Ray of its own."""
    from distributed.driver import extract
    from distributed.settings import ClusterSettings, ExtractionRun, ExtractSettings, ProgressStyle
    from distributed.sources.settings import HubSettings
    from distributed.store.settings import StoreSettings

    run = ExtractionRun(
        HubSettings(author=given["author"], limit=None),
        StoreSettings(given["store"]),
        ClusterSettings(actors=given["actors"], num_cpus=0.5),
        ExtractSettings(progress=ProgressStyle.off),
    )
    began = time.perf_counter()
    code = extract(run)
    return {"seconds": time.perf_counter() - began, "code": code}


def faults(given: dict[str, Any]) -> dict[str, Any]:
    """Every fault of the tests against every layout; pauses are short, as in the tests."""
    from distributed.hub import budget, client, files
    from distributed.hub.settings import HubAccess
    from distributed.outcomes import OutcomeKind
    from distributed.sources.settings import HubSettings
    from tests.distributed.hub.stored import models_in, rejects_in
    from tests.distributed.hub.trials import LASTING, ONCE
    from tests.distributed.in_process import extract_here
    from tests.hub.process import HubProcess

    client.FIRST_WAIT_SECONDS, client.RATE_SECONDS, files.PAUSE_SECONDS = 0.02, 0.4, 0.02
    hub, place, access = HubProcess(given["control"]), Path(given["place"]), HubAccess(max_wait=20)

    def run(store: Path) -> tuple[dict[str, Any], dict[str, int], list[str]]:
        budget.use(None)
        hub.forget()
        outcomes = extract_here(HubSettings(author="lab"), store, access)
        kinds = [f"{o.kind}{' for now' if o.kind is OutcomeKind.FAILED and o.retryable else ''}" for o in outcomes]
        return models_in(store), hub.counts(), kinds

    hub.settle()
    whole, before, kinds = run(place / "undisturbed")
    rows = [_fault_row("none", kinds, whole, whole, before, before)]
    trials = [(name, made) for name, (made, _, _) in ONCE.items()]
    trials += [(f"{name}, always", made) for name, made in LASTING.items()]
    for number, (name, made) in enumerate(trials):
        hub.settle()
        hub.fail(*made)
        store = place / str(number)
        found, counts, kinds = run(store)
        rows.append(_fault_row(name, kinds, found, whole, counts, before))
        if len(found) < len(whole):
            hub.heal()
            found, _, _ = run(store)
            done = found == whole and not rejects_in(store, "failures")
            rows[-1]["second"] = "completed" if done else "NOT COMPLETED"
    return {"rows": rows}


def _fault_row(
    name: str,
    kinds: list[str],
    found: dict[str, Any],
    whole: dict[str, Any],
    counts: dict[str, int],
    before: dict[str, int],
) -> dict[str, Any]:
    asked = ("api", "resolve", "cache", "cdn")
    return {
        "fault": name,
        "outcome": ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))),
        "equal": all(found[each] == whole[each] for each in found),
        "requests": sum(counts.get(kind, 0) for kind in asked) - sum(before.get(kind, 0) for kind in asked),
        "bytes": counts["bytes"] - before["bytes"],
        "second": "",
    }


def main() -> None:
    """Arguments: ``who`` and what that one reads."""
    given = arguments_of_child()
    answer(
        {
            "extract_one": extract_one,
            "download": download,
            "list_all": list_all,
            "extract_many": extract_many,
            "faults": faults,
        }[given["who"]](given)
    )


if __name__ == "__main__":
    main()
