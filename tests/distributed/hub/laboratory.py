"""A Hub in another process that holds every layout, and the client of this one pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session  # type: ignore[attr-defined]  # public, but not marked as exported

from distributed.hub import budget, client, files
from tests.distributed.hub.repositories import LAYOUTS
from tests.distributed.sources.conftest import point_client_at
from tests.hub.process import HubProcess, hub_process

__all__ = ["hub", "hub_of_layouts", "layouts"]


@pytest.fixture(scope="session")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one repository of each layout."""
    root = tmp_path_factory.mktemp("layouts")
    for write in LAYOUTS:
        write(root)
    return root


@pytest.fixture(scope="session")
def hub_of_layouts(layouts: Path) -> Iterator[HubProcess]:
    """The server, in its own process."""
    with hub_process(layouts) as server:
        yield server


@pytest.fixture
def hub(hub_of_layouts: HubProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubProcess]:
    """The same, healthy and with a CDN, for a client that is not patient: pauses and timeouts are short."""
    hub_of_layouts.settle()
    point_client_at(hub_of_layouts, tmp_path / "home", monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 2.0)
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(client, "RATE_SECONDS", 0.4)
    monkeypatch.setattr(files, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(files, "_ignoring", type(files._ignoring)())
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # or the client asks the API for itself, once
    budget.use(None)  # what an earlier test was told of its windows is not true any more
    yield hub_of_layouts
    hub_of_layouts.settle()
    budget.use(None)
    close_session()
