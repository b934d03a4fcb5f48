"""Ranges have no digest: what cannot be understood is fetched once more before the model is skipped for good."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from distributed.errors import SkipReason, UnextractableError
from distributed.extraction import extract_model
from distributed.outcomes import Outcome
from distributed.settings import ExtractSettings
from distributed.sources import list_references
from distributed.sources.settings import HubSettings
from distributed.store import Store
from distributed.store.settings import StoreSettings
from tests.loopback_hub import Fault, FaultKind, LoopbackHub


def extracted(hub: LoopbackHub, folder: Path) -> Outcome:
    (hub.root / "net").mkdir()
    torch.manual_seed(0)
    save_file(
        {"conv.weight": torch.randn(8, 3, 3, 3), "fc.weight": torch.zeros(100_000)}, hub.root / "net/model.safetensors"
    )
    [reference] = list_references(HubSettings(repos=("samples/net",)))
    store = Store.open(StoreSettings(str(folder / "store")))
    store.prepare()
    hub.requests.clear()
    return extract_model(reference, store, ExtractSettings(), torch.device("cpu"), folder)


def test_one_damaged_header_costs_one_more_read(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults.append(Fault(FaultKind.SHIFTED_BODY, "GET .*safetensors"))
    outcome = extracted(hub, tmp_path)
    assert outcome.filters == 24
    assert 2 * 65_536 <= outcome.bytes_read == hub.bytes_sent <= 2 * 65_536 + 24 * 36


def test_a_header_that_stays_damaged_is_a_skip(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults.append(Fault(FaultKind.SHIFTED_BODY, "GET .*safetensors", times=99))
    with pytest.raises(UnextractableError) as caught:
        extracted(hub, tmp_path)
    assert caught.value.reason in (SkipReason.UNREADABLE, SkipReason.UNSUPPORTED_FORMAT)
    assert len(hub.requests) == 2
