"""Stores as those of ``tests.distributed.store``."""

from tests.distributed.store.conftest import bucket, local_store, s3_server, s3_store, store

__all__ = ["bucket", "local_store", "s3_server", "s3_store", "store"]
