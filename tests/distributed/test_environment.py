from __future__ import annotations

import os
from pathlib import Path

import pytest

from distributed.environment import environment_for_workers, take_over

REACHING = {
    **{"HF_ENDPOINT": "http://mirror", "HF_TOKEN": "hf_x", "HTTP_PROXY": "http://p:1", "https_proxy": "http://p:2"},
    **{"ALL_PROXY": "socks5://p:3", "all_proxy": "socks5://p:4", "no_proxy": "localhost", "http_proxy": "http://p:5"},
}


def test_workers_reach_the_hub_as_the_driver_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificates = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    told = {**REACHING, **dict.fromkeys(certificates, str(tmp_path))}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    found = environment_for_workers()
    assert told.items() <= found.items()
    assert "AWS_SECRET_ACCESS_KEY" not in found
    for name in told:
        monkeypatch.delenv(name)
    take_over(found)  # in the worker
    assert {name: os.environ[name] for name in told} == told


def test_certificates_that_a_node_does_not_have_are_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A path that leads nowhere would make every connection fail."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "HF_TOKEN_PATH"):
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)
    take_over(
        {
            "SSL_CERT_FILE": str(tmp_path / "gone"),
            "SSL_CERT_DIR": f"{tmp_path}/gone{os.pathsep}{tmp_path}",
            "HF_TOKEN_PATH": str(tmp_path / "gone"),
        }
    )
    assert "SSL_CERT_FILE" not in os.environ
    assert "SSL_CERT_DIR" in os.environ
    assert "HF_TOKEN_PATH" in os.environ
