"""The loopback Hub with one repository of a large and a small file, and pauses that do not hold up a test."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from distributed.hub import client, files
from distributed.hub.files import HubFile
from distributed.hub.settings import HubAccess
from tests.distributed.sources.conftest import hub
from tests.loopback_hub import LoopbackHub

__all__ = ["hub"]

SIZE = 1_000_000


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(client, "RATE_SECONDS", 0.5)
    monkeypatch.setattr(files, "_ignoring", type(files._ignoring)())


@pytest.fixture
def content(hub: LoopbackHub) -> bytes:
    """Of ``samples/net/model.safetensors``; beside it lies a config of a few bytes."""
    folder = hub.root / "net"
    folder.mkdir()
    content = os.urandom(SIZE)
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_text('{"architecture": "net"}')
    return content


@pytest.fixture
def hub_file(hub: LoopbackHub, tmp_path: Path, content: bytes) -> Callable[..., HubFile]:
    """A file of ``samples/net`` as the Hub lists it, or with something changed."""

    def make(path: str = "model.safetensors", access: HubAccess = HubAccess(), **changes: object) -> HubFile:
        repo = hub.repo("samples/net")
        assert repo is not None
        file = repo.files.get(path) or repo.files["model.safetensors"]
        known = {"revision": repo.sha, "size": file.size, "sha256": file.sha256 if file.is_lfs else None} | changes
        return HubFile("samples/net", path=path, scratch=tmp_path / "scratch", access=access, **known)  # type: ignore[arg-type]

    return make
