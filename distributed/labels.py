"""Models in the store under other labels than their source gives them now, and several names of one content."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distributed.label_files import LabelFile, Labels
from distributed.outcomes import Outcome, OutcomeKind
from distributed.references import METADATA_FIELDS, ModelMetadata, ModelReference
from distributed.sources.contents import Listing
from distributed.sources.metadata import DATA_SET_TABLE, IMPLYING_FIELDS, implied_category
from distributed.store import Store

#: The columns of ``models`` that say what is known of a model and not what was found in it.
KNOWLEDGE = (*METADATA_FIELDS, "attributes", "origins")

_IN_STORE = (OutcomeKind.EXTRACTED, OutcomeKind.ALREADY_THERE)


@dataclass(frozen=True, slots=True)
class LabelChange:
    """One model whose labels differ.

    Attributes:
        model_id: of the model in the store.
        reference: as it is listed now.
        differing: column or attribute → (label in the store, label now); None where there is none.
        values: columns of its row of ``models`` with their new values, ``origins`` among them.
        is_new: the model was extracted by this run: these labels could not be joined to it before it was read.
    """

    model_id: str
    reference: ModelReference
    differing: Mapping[str, tuple[Any, Any]]
    values: Mapping[str, object]
    is_new: bool = False

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


def labelled(listing: Listing, labels: LabelFile) -> Listing:
    """The listing with what ``labels`` say of its models, in place of what their pages say.

    A model on disk has no ``model_id`` before it is read: rows that name one count afterwards (``label_changes``).
    """
    references = []
    for each in listing.references:
        metadata = relabelled(each.metadata, labels.labels_of(joined_by(each, each.pinned_model_id)), labels.origin)
        references.append(replace(each, metadata=metadata))
    return Listing(references, listing.not_read)


def label_notes(outcomes: Iterable[Outcome], labels: LabelFile | None) -> list[str]:
    """What to say of the rows of ``labels`` and of the listed models: ``LabelFile.notes_on``."""
    if labels is None:
        return []
    return labels.notes_on(joined_by(each.reference, each.model_id) for each in outcomes)


def joined_by(reference: ModelReference, model_id: str | None) -> dict[str, str | None]:
    """``label_files.JOINED_BY`` of a listed model."""
    return {"model_id": model_id, "name": reference.name, "uri": reference.root, "file": reference.entry}


def relabelled(metadata: ModelMetadata, labels: Labels, origin: str) -> ModelMetadata:
    """What is known of a model, with labels in place of it; a new data set implies its visual category.

    A label that says what is known already changes nothing, not even where that was read.
    """
    columns: dict[str, Any] = {name: getattr(metadata, name) for name in METADATA_FIELDS}
    attributes: dict[str, Any] = dict(metadata.attributes)
    origins = dict(metadata.origins)
    changed = set()
    for name, label in labels.items():
        place = columns if name in columns else attributes
        value = int(label) if name == "resolution" and label is not None else label
        if place.get(name) != value:
            place[name], origins[name] = value, origin
            changed.add(name)
    if not changed:
        return metadata
    is_implied = columns["visual_category"] is None or origins.get("visual_category") == DATA_SET_TABLE
    if is_implied and "visual_category" not in labels and not changed.isdisjoint(IMPLYING_FIELDS):
        columns["visual_category"] = implied_category(columns[name] for name in IMPLYING_FIELDS if columns[name])
        origins["visual_category"] = DATA_SET_TABLE
    known = {**attributes, **columns, "file": origins.get("file")}
    return ModelMetadata(
        **columns,
        attributes={name: text for name, text in attributes.items() if text is not None},
        origins={name: where for name, where in origins.items() if known.get(name) is not None},
    )


def metadata_in(row: Mapping[str, Any]) -> ModelMetadata:
    """What a row of ``models`` says is known."""
    columns = {name: row[name] for name in METADATA_FIELDS}
    return ModelMetadata(**columns, attributes=dict(row["attributes"] or {}), origins=dict(row["origins"]))


def columns_of(metadata: ModelMetadata) -> dict[str, Any]:
    """The ``KNOWLEDGE`` of a row of ``models``."""
    columns: dict[str, Any] = {name: getattr(metadata, name) for name in METADATA_FIELDS}
    return columns | {"attributes": dict(metadata.attributes) or None, "origins": dict(metadata.origins)}


def label_changes(outcomes: Iterable[Outcome], store: Store, labels: LabelFile | None = None) -> list[LabelChange]:
    """The models that are there, but under other labels.

    A model of the Hub is pinned to a revision and so are its labels, and one that was just extracted has those of the
    listing: of them only what ``labels`` say is looked at.
    """
    there = {outcome.model_id: outcome for outcome in outcomes if outcome.kind in _IN_STORE and outcome.model_id}
    told: dict[str, Labels] = {}
    if labels is not None:
        told = {key: labels.labels_of(joined_by(outcome.reference, key)) for key, outcome in there.items()}
    pages = {key: outcome.reference for key, outcome in there.items() if _is_on_pages(outcome)}
    changes = []
    for row in _rows(store, [*pages, *(key for key, found in told.items() if found)]):
        key, origin = row["model_id"], labels.origin if labels is not None else ""
        listed = pages[key].metadata if key in pages else metadata_in(row)
        now = relabelled(listed, told.get(key, {}), origin)
        outcome = there[key]
        reference = replace(outcome.reference, metadata=now)
        cleared = {name for name, label in told.get(key, {}).items() if label is None}
        changes.append(_change(row, reference, cleared, is_new=outcome.kind is OutcomeKind.EXTRACTED))
    return [change for change in changes if change.differing]


def _is_on_pages(outcome: Outcome) -> bool:
    """Whether what is known of it may have been corrected since it was extracted."""
    return outcome.kind is OutcomeKind.ALREADY_THERE and outcome.reference.revision is None


def _rows(store: Store, model_ids: Iterable[str]) -> list[dict[str, Any]]:
    wanted = set(model_ids)
    columns = ("model_id", "reference_key", "name", *KNOWLEDGE)
    return store.model_rows(wanted, columns) if wanted else []


def _change(row: Mapping[str, Any], reference: ModelReference, cleared: Collection[str], is_new: bool) -> LabelChange:
    stored, listed = metadata_in(row), reference.metadata
    before, after = _flat(stored), _flat(listed)
    # A label that nobody states any more goes with the page that it stood on, if that page is still there.
    pages = set(listed.origins.values())
    gone = {name for name in before if stored.origins.get(name) in pages} | set(cleared)
    corrected = {
        name: label
        for name in dict.fromkeys([*before, *after])
        if (label := after.get(name)) != before.get(name) and (label is not None or name in gone)
    }
    attributes = {
        **stored.attributes,
        **{name: each for name, each in corrected.items() if name not in METADATA_FIELDS},
    }
    differing = {name: (before.get(name), label) for name, label in corrected.items()}
    values = {name: label for name, label in corrected.items() if name in METADATA_FIELDS}
    if attributes != stored.attributes:
        values["attributes"] = {name: each for name, each in attributes.items() if each is not None} or None
    origins = {name: origin for name, origin in stored.origins.items() if name not in corrected}
    origins |= {name: listed.origins[name] for name in corrected if name in listed.origins}
    if row["reference_key"] == reference.reference_key and row["name"] != reference.name:
        differing = {"name": (row["name"], reference.name), **differing}
        values["name"] = reference.name
    return LabelChange(row["model_id"], reference, differing, {**values, "origins": origins}, is_new)


def _flat(metadata: ModelMetadata) -> dict[str, Any]:
    return {name: getattr(metadata, name) for name in METADATA_FIELDS} | dict(metadata.attributes)


def _quoted(label: Any) -> str:
    return "none" if label is None else repr(label)
