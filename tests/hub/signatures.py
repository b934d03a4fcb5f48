"""Addresses at the CDN that are good for a time."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from urllib.parse import parse_qs, urlencode, urlsplit


class Signer:
    """Signs paths and checks them. ``revoke`` makes every address given so far worthless at once."""

    def __init__(self) -> None:
        self.revoke()

    def revoke(self) -> None:
        """Take another secret."""
        self._secret = secrets.token_bytes(16)

    def sign(self, path: str, seconds: float) -> str:
        """``path`` with a query that is good for so long, to the whole second above."""
        expires = math.ceil(time.time() + seconds)
        return f"{path}?{urlencode({'Expires': expires, 'Signature': self._signature(path, str(expires))})}"

    def is_good(self, address: str) -> bool:
        """Whether the path (with query) was signed here and may still be used."""
        split = urlsplit(address)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        expires = query.get("Expires", "")
        known = hmac.compare_digest(query.get("Signature", ""), self._signature(split.path, expires))
        return known and time.time() < float(expires)

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._secret, f"{path} {expires}".encode(), hashlib.sha256).hexdigest()
