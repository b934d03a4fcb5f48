"""A real S3 service for tests: ``moto_server`` in a process of its own, on a port of loopback.

Use the fixture by ``from tests.s3 import s3_server`` in a ``conftest.py``, or ``running_s3`` directly.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running service.

    Attributes:
        endpoint_url: ``http://127.0.0.1:port``.
        environment: variables with which any AWS client of another process reaches it.
    """

    endpoint_url: str
    environment: Mapping[str, str]

    def make_bucket(self, bucket: str) -> None:
        """Create a bucket, as its owner would before the first run."""
        self.client().create_bucket(Bucket=bucket)

    def client(self) -> Any:
        """A botocore client of the service, for looking behind the store's back."""
        import botocore.session

        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Every object of a bucket: key → content."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """Start the service, and end it (by its process, no other) at the end."""
    command = [sys.executable, "-u", "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        seen = []
        for line in process.stderr:
            seen.append(line)
            if match := re.search(r"Running on (http://[0-9.:]+)", line):
                break
        else:
            raise RuntimeError("moto_server did not start: " + "".join(seen))
        # It logs every request: a full pipe would stop it.
        drain = threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True)  # type: ignore[union-attr]
        drain.start()
        endpoint = match.group(1)
        environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield S3Server(endpoint, environment)
        process.terminate()
        process.wait(timeout=20)
        drain.join(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One service for the whole session; give every test a bucket of its own.

    Its credentials are this process's environment while it runs. Its endpoint is not: pass it as a setting, or set
    ``environment`` where a test is about that.
    """
    with running_s3() as server:
        kept = {key: value for key, value in server.environment.items() if key != "AWS_ENDPOINT_URL"}
        before = {key: os.environ.get(key) for key in kept}
        os.environ.update(kept)
        try:
            yield server
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value
