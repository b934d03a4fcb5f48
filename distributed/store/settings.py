"""Where a store is and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Attributes:
    uri: a folder (``data/filters``, ``file:///…``) or ``s3://bucket/prefix``.
    endpoint_url: of an S3-compatible service; None takes ``AWS_ENDPOINT_URL`` or AWS itself. Credentials are never
        settings: they come from the environment or the machine's role, as for every AWS tool.
    region: None takes ``AWS_REGION``/``AWS_DEFAULT_REGION`` or the bucket's own.
    """

    uri: str
    endpoint_url: str | None = None
    region: str | None = None
