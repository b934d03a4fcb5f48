"""An extraction run in this process: what the command does, one model after the other and without Ray."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from distributed.actor import outcome_of
from distributed.extraction import extract_model
from distributed.hub.catalogue import StoredCatalogue
from distributed.hub.settings import HubAccess
from distributed.outcomes import Outcome
from distributed.plan import Planner
from distributed.recording import record
from distributed.settings import ExtractSettings
from distributed.sources import stream_source
from distributed.sources.settings import LocalSettings, SourceSettings
from distributed.store import Store
from distributed.store.settings import StoreSettings


def extract_here(
    source: Path | SourceSettings, store_folder: Path, access: HubAccess = HubAccess(), **changes: object
) -> list[Outcome]:
    """The outcomes of a source's models (a folder's, a file's), recorded in the store; ``changes`` are of settings."""
    store = Store.open(StoreSettings(str(store_folder)))
    store.prepare()
    settings = ExtractSettings(**changes)  # type: ignore[arg-type]
    listing = stream_source(LocalSettings(str(source)) if isinstance(source, Path) else source, StoredCatalogue(store))
    listed = sorted((each for part in listing for each in part.references), key=lambda each: each.name)
    references = [replace(each, variant=settings.variant) for each in listed]
    plan = Planner(store, settings.retry, settings.non_finite).plan(references)
    outcomes = list(plan.settled)
    for reference in plan.to_extract:
        with tempfile.TemporaryDirectory() as scratch:
            work = partial(extract_model, reference, store, settings, torch.device("cpu"), Path(scratch), access)
            outcomes.append(outcome_of(reference, work))
    for outcome in outcomes:
        record(outcome, store, plan.recorded.get(outcome.reference.reference_key, ()))
    for key, kinds in plan.superseded.items():
        store.clear_reject(key, kinds)
    return outcomes
