"""Models in the store under other labels than their source gives them now, and several names of one content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distributed.outcomes import Outcome, OutcomeKind
from distributed.references import METADATA_FIELDS, ModelReference
from distributed.store import Store

_IN_STORE = (OutcomeKind.EXTRACTED, OutcomeKind.ALREADY_THERE)


@dataclass(frozen=True, slots=True)
class LabelChange:
    """One model whose labels differ.

    Attributes:
        model_id: of the model in the store.
        reference: as it is listed now.
        differing: column → (label in the store, label now); None where there is none.
        values: columns of its row of ``models`` with their new values, ``origins`` among them.
    """

    model_id: str
    reference: ModelReference
    differing: Mapping[str, tuple[str | None, str | None]]
    values: Mapping[str, object]

    def __str__(self) -> str:
        origins = self.reference.metadata.origins
        told = [
            f"{column}: {_quoted(now)} in {origins.get(column, 'the listing')}, {_quoted(stored)} in the store"
            for column, (stored, now) in self.differing.items()
        ]
        return f"{self.reference.name} ({self.reference.entry}): {'; '.join(told)}"


def same_content_told(outcomes: Sequence[Outcome], store: Store) -> list[Outcome]:
    """The outcomes; of several references that turned out to be one model all but one are ``SAME_CONTENT``.

    The one is what was extracted, or what the store's row is of, or the first.
    """
    groups: dict[str, list[int]] = {}
    for index, outcome in enumerate(outcomes):
        if outcome.kind in _IN_STORE and outcome.model_id is not None:
            groups.setdefault(outcome.model_id, []).append(index)
    several = {model_id: indices for model_id, indices in groups.items() if len(indices) > 1}
    keys = {row["model_id"]: row["reference_key"] for row in _rows(store, several)}
    told = list(outcomes)
    for model_id, indices in several.items():
        owners = [index for index in indices if outcomes[index].reference.reference_key == keys.get(model_id)]
        extracted = [index for index in indices if outcomes[index].kind is OutcomeKind.EXTRACTED]
        first = (extracted + owners + indices)[0]
        what = f"the same content as {outcomes[first].reference.name}"
        for index in indices:
            if index != first:
                told[index] = replace(outcomes[index], kind=OutcomeKind.SAME_CONTENT, message=what)
    return told


def label_changes(outcomes: Iterable[Outcome], store: Store) -> list[LabelChange]:
    """The models that are there, but under other labels.

    A model of the Hub is pinned to a revision and so are its labels; only what lies on disk is looked at.
    """
    there = {
        outcome.model_id: outcome.reference
        for outcome in outcomes
        if outcome.kind is OutcomeKind.ALREADY_THERE and outcome.model_id and outcome.reference.revision is None
    }
    changes = [_change(row, there[row["model_id"]]) for row in _rows(store, there)]
    return [change for change in changes if change.differing]


def _rows(store: Store, model_ids: Iterable[str]) -> list[dict[str, Any]]:
    wanted = set(model_ids)
    columns = ("model_id", "reference_key", "name", *METADATA_FIELDS, "origins")
    return store.model_rows(wanted, columns) if wanted else []


def _change(row: Mapping[str, Any], reference: ModelReference) -> LabelChange:
    metadata = reference.metadata
    stored_origins = dict(row["origins"])
    labels: dict[str, str | None] = {column: getattr(metadata, column) for column in METADATA_FIELDS}
    # A label that nobody states any more goes with the page that it stood on, if that page is still there.
    pages = set(metadata.origins.values())
    corrected = {
        column: label
        for column, label in labels.items()
        if label != row[column] and (label is not None or stored_origins.get(column) in pages)
    }
    if row["reference_key"] == reference.reference_key and row["name"] != reference.name:
        corrected = {"name": reference.name, **corrected}
    origins = {column: origin for column, origin in stored_origins.items() if column not in corrected}
    origins |= {column: metadata.origins[column] for column in corrected if column in metadata.origins}
    return LabelChange(
        row["model_id"],
        reference,
        {column: (row[column], label) for column, label in corrected.items()},
        {**corrected, "origins": origins},
    )


def _quoted(label: str | None) -> str:
    return "none" if label is None else repr(label)
