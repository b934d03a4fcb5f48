"""A loopback Hub for the real client, in this process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session  # type: ignore[attr-defined]  # public, but not marked as exported

from distributed.hub import budget
from tests.hub.environment import HasEndpoint, hub_environment
from tests.loopback_hub import LoopbackHub


def point_client_at(server: HasEndpoint, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process's ``huggingface_hub`` take ``server`` for the Hub.

    The client read its environment when it was imported, so the constants made of it are replaced, and the environment
    for whatever processes are started.
    """
    for name, value in hub_environment(server, home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HOME", str(home))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    budget.use(None)  # what another server said
    close_session()  # it may hold connections to another server, or a proxy's settings
    budget.use(None)  # what another server allowed says nothing of this one


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A loopback Hub over an empty folder (``hub.root``) that the client of this process talks to."""
    root = tmp_path / "hub"
    root.mkdir()
    with LoopbackHub(root) as server:
        point_client_at(server, tmp_path / "home", monkeypatch)
        yield server
    close_session()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users can reach too, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """The test runs without the rights of root, which ignores file permissions."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
