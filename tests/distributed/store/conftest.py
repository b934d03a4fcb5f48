"""A store of each kind: a folder, and a bucket of a real S3 service."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from distributed.store import Store, StoreSettings
from tests.s3 import S3Server, s3_server

__all__ = ["s3_server"]


@pytest.fixture
def local_store(tmp_path: Path) -> Store:
    return Store.open(StoreSettings(str(tmp_path / "store")))


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3_server.make_bucket(name)
    return name


@pytest.fixture
def s3_store(s3_server: S3Server, bucket: str) -> Store:
    return Store.open(StoreSettings(f"s3://{bucket}/some/prefix", endpoint_url=s3_server.endpoint_url))


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> Store:
    """The same test on both."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found
