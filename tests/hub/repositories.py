"""Repositories: files, commit, and what the API says of them."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

#: Larger files, and all with a weight's suffix, are LFS files: the Hub knows their SHA-256.
LFS_BYTES = 1 << 20
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".onnx_data", ".ckpt", ".th", ".tar")

_CHUNK = 1 << 18


@dataclass(frozen=True)
class RepoFile:
    """One file of a repository; its content is at ``location``, or ``content`` where it is small."""

    path: str
    location: Path | None
    size: int
    sha256: str
    blob_id: str
    content: bytes | None = None

    @classmethod
    def of(cls, path: str, content: bytes, location: Path | None = None) -> RepoFile:
        """A file with this content; only small ones are held."""
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        held = content if location is None or len(content) <= LFS_BYTES else None
        return cls(path, location, len(content), hashlib.sha256(content).hexdigest(), blob, held)

    @property
    def is_lfs(self) -> bool:
        """Whether the Hub would store it with LFS."""
        return self.size >= LFS_BYTES or self.path.lower().endswith(LFS_SUFFIXES)

    @property
    def etag(self) -> str:
        """As the Hub's: SHA-256 of LFS files, git's blob id of others."""
        return self.sha256 if self.is_lfs else self.blob_id

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of a range, piece by piece."""
        if self.content is not None:
            yield self.content[start:stop]
            return
        assert self.location is not None
        with self.location.open("rb") as opened:
            opened.seek(start)
            while start < stop:
                piece = opened.read(min(_CHUNK, stop - start))
                start += len(piece)
                yield piece

    def sibling(self, blobs: bool) -> dict[str, Any]:
        """Its entry in ``siblings``."""
        if not blobs:
            return {"rfilename": self.path}
        entry: dict[str, Any] = {"rfilename": self.path, "size": self.size, "blobId": self.blob_id}
        if self.is_lfs:
            entry["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": 134}
        return entry

    def tree_entry(self) -> dict[str, Any]:
        """Its entry in a tree."""
        entry: dict[str, Any] = {"type": "file", "oid": self.blob_id, "size": self.size, "path": self.path}
        if self.is_lfs:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return entry


@dataclass(frozen=True)
class Repo:
    """One repository at one commit."""

    id: str
    sha: str
    files: dict[str, RepoFile]
    card: dict[str, Any]
    config: dict[str, Any]

    @property
    def tags(self) -> list[str]:
        """The card's tags and those the Hub makes of the rest."""
        tags = list(self.card.get("tags") or [])
        tags += [str(self.card[key]) for key in ("library_name", "pipeline_tag") if self.card.get(key)]
        return tags + [f"dataset:{name}" for name in self.card.get("datasets") or []]

    @property
    def ranks(self) -> dict[str, Any]:
        """What listings are sorted by."""
        digest = int(self.sha[:6], 16)
        return {
            "downloads": digest % 1000,
            "likes": digest % 100,
            "trendingScore": digest % 10,
            "lastModified": "2026-11-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
        }

    def info(self, *, blobs: bool, gated: bool) -> dict[str, Any]:
        """All that the API can say of it."""
        known = {key: self.config[key] for key in ("architectures", "model_type") if key in self.config}
        return {
            "_id": self.sha[:24],
            "id": self.id,
            "modelId": self.id,
            "author": self.id.partition("/")[0],
            "sha": self.sha,
            "private": False,
            "gated": "manual" if gated else False,
            "disabled": False,
            **self.ranks,
            "tags": self.tags,
            "pipeline_tag": self.card.get("pipeline_tag"),
            "library_name": self.card.get("library_name"),
            "cardData": self.card,
            "config": known,
            "siblings": [file.sibling(blobs) for file in self.files.values()],
        }


def repo_of(repo_id: str, files: Iterable[RepoFile]) -> Repo:
    """A repository with these files; the commit hash is a function of all its content."""
    by_path = {file.path: file for file in files}
    sha = hashlib.sha1("\n".join(f"{f.path} {f.blob_id}" for f in by_path.values()).encode()).hexdigest()
    card = _front_matter(_text(by_path["README.md"])) if "README.md" in by_path else {}
    config: Any = json.loads(_text(by_path["config.json"])) if "config.json" in by_path else {}
    return Repo(repo_id, sha, by_path, card, config if isinstance(config, dict) else {})


def _text(file: RepoFile) -> str:
    return b"".join(file.chunks(0, file.size)).decode("utf-8")


@functools.cache  # ten thousand repositories may have the same card
def _front_matter(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else None
    return found if isinstance(found, dict) else {}
