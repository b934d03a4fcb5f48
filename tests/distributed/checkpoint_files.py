"""Small checkpoint files, and their way into a store without Ray: what an actor does with each listed model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from distributed.actor import outcome_of
from distributed.extraction import extract_model
from distributed.outcomes import Outcome
from distributed.settings import ExtractSettings
from distributed.sources import list_references
from distributed.sources.settings import LocalSettings, SourceSettings
from distributed.store import Store, StoreSettings

CPU = torch.device("cpu")


def conv(seed: int, out: int = 4, inner: int = 3) -> torch.Tensor:
    """A 3x3 weight."""
    return torch.randn(out, inner, 3, 3, generator=torch.Generator().manual_seed(seed))


def extracted(source: Path | SourceSettings, store: Path, **settings: Any) -> dict[str, Outcome]:
    """Name → outcome of each model of a source, or in a folder."""
    chosen = ExtractSettings(**settings)
    opened = Store.open(StoreSettings(str(store)))
    scratch = store.parent / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    listed = list_references(LocalSettings(str(source)) if isinstance(source, Path) else source)
    references = [replace(each, variant=chosen.variant) for each in listed]
    return {
        each.name: outcome_of(each, lambda each=each: extract_model(each, opened, chosen, CPU, scratch))
        for each in references
    }
