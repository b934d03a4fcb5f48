"""Where repositories come from: folders that tests may change, and any number of tiny ones made without a disk."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.hub.repositories import Repo, RepoFile, repo_of

_CONFIG = json.dumps({"architectures": ["TwoConvs"], "model_type": "toy"}).encode()
_SHAPES = {"conv1.weight": (8, 3, 3, 3), "conv2.weight": (8, 8, 3, 3)}


def read_repo(repo_id: str, folder: Path) -> Repo:
    """A folder as a repository."""
    places = sorted(path for path in folder.rglob("*") if path.is_file())
    return repo_of(
        repo_id, [RepoFile.of(place.relative_to(folder).as_posix(), place.read_bytes(), place) for place in places]
    )


def folder_of(root: Path, owner: str, repo_id: str) -> Path | None:
    """The folder of a repository: ``root/owner/name``, or ``root/name`` of ``owner``; None if there is none."""
    author, _, name = repo_id.partition("/")
    folders = [root / author / name] + ([root / name] if author == owner else [])
    return next((f for f in folders if name and f.is_dir() and any(path.is_file() for path in f.iterdir())), None)


def ids_in(root: Path, owner: str) -> Iterator[str]:
    """Ids of the repositories in a folder, sorted by folder."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if any(path.is_file() for path in folder.iterdir()):
            yield f"{owner}/{folder.name}"
        else:
            yield from (f"{folder.name}/{path.name}" for path in sorted(folder.iterdir()) if path.is_dir())


def tiny_repo(number: int, owner: str = "many") -> Repo:
    """A net of two 3x3 convolutions of its own, 88 filters, in 3.4 KB; a config that says all, and a card."""
    generator = np.random.default_rng(number)
    header, body, place = {}, b"", 0
    for name, shape in _SHAPES.items():
        body += generator.standard_normal(shape, np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, len(body)]}
        place = len(body)
    text = json.dumps(header).encode()
    card = b"---\nlicense: mit\npipeline_tag: image-classification\n---\n# Tiny\n"
    files = {
        "README.md": card,
        "config.json": _CONFIG,
        "model.safetensors": struct.pack("<Q", len(text)) + text + body,
    }
    return repo_of(f"{owner}/net-{number:05d}", [RepoFile.of(path, content) for path, content in files.items()])
