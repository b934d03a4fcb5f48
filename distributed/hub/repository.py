"""What the Hub's API says of one repository at one commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed.references import FileReference


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository at one commit.

    Attributes:
        id: ``owner/name``.
        revision: commit hash.
        files: path → file, with size and, where the Hub knows it, SHA-256.
        card: metadata of the model card, and what the Hub concludes where the card is silent.
        config: the few keys of ``config.json`` that the API repeats.
        named: path of an index of shards, or of an ONNX graph → the files that it names, of those looked into so far.
    """

    id: str
    revision: str
    files: Mapping[str, FileReference]
    card: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Everything as text, to be kept."""
        files = [[file.path, file.size, file.sha256] for file in self.files.values()]
        return json.dumps([self.id, self.revision, files, self.card, self.config, self.named], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Repository:
        """What ``to_json`` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            repo, revision, files, card, config, named = json.loads(text)
            by_path = {path: FileReference(path, size, sha256) for path, size, sha256 in files}
            return cls(repo, revision, by_path, card, config, {path: tuple(names) for path, names in named.items()})
        except (TypeError, AttributeError) as error:
            raise ValueError(f"no description of a repository: {text[:40]}") from error


def repository_of(answer: Mapping[str, Any]) -> Repository:
    """The API's answer of one repository, asked with ``blobs=true``.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is not what the Hub answers.
    """
    files = {}
    for sibling in answer["siblings"] or ():
        lfs = sibling.get("lfs") or {}
        path = str(sibling["rfilename"])
        files[path] = FileReference(path, int(lfs.get("size", sibling.get("size"))), lfs.get("sha256"))
    config = answer.get("config")
    return Repository(
        str(answer["id"]), str(answer["sha"]), files, _card(answer), config if isinstance(config, dict) else {}
    )


def _card(answer: Mapping[str, Any]) -> dict[str, Any]:
    found = answer.get("cardData")
    card = dict(found) if isinstance(found, dict) else {}
    for key in ("pipeline_tag", "library_name"):  # also what the Hub concludes where the card is silent
        if answer.get(key) and not card.get(key):
            card[key] = answer[key]
    if isinstance(answer.get("tags"), list):
        card["tags"] = answer["tags"]
    return card
