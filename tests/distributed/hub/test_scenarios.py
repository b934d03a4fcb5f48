"""Every layout through every fault: what is stored is as in an undisturbed run, or a second run completes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from distributed.extraction import extract_model
from distributed.hub import budget
from distributed.hub.settings import HubAccess, Verify
from distributed.outcomes import Outcome, OutcomeKind
from distributed.settings import ExtractSettings
from distributed.sources import list_references
from distributed.sources.settings import HubSettings
from distributed.store import Store
from distributed.store.settings import StoreSettings
from tests.distributed.checkpoint_files import CPU
from tests.distributed.hub.laboratory import hub, hub_of_layouts, layouts
from tests.distributed.hub.stored import models_in, rejects_in
from tests.distributed.hub.trials import ALWAYS, LASTING, ONCE, RESOLVE
from tests.distributed.in_process import extract_here
from tests.hub import Fault, FaultKind
from tests.hub.process import HubProcess

__all__ = ["hub", "hub_of_layouts", "layouts"]

LAB = HubSettings(author="lab")

#: What listing finds at the lab, and the file that is taken of it.
TAKEN = {
    "lab/diffusion/text_encoder": "text_encoder/model.safetensors",
    "lab/diffusion/unet": "unet/diffusion_pytorch_model.safetensors",
    "lab/diffusion/vae": "vae/diffusion_pytorch_model.safetensors",
    "lab/half-safetensors": "pytorch_model.bin",
    "lab/half-twin": "model.safetensors",
    "lab/legacy-bin": "pytorch_model.bin",
    "lab/plain": "model.safetensors",
    "lab/shards": "model.safetensors.index.json",
    "lab/three-formats": "model.safetensors",
    "lab/zip-bin": "pytorch_model.bin",
}


@dataclass(frozen=True)
class Undisturbed:
    """What a run without faults stores, and costs."""

    models: dict[str, Any]
    outcomes: dict[str, Outcome]
    counts: dict[str, int]


@pytest.fixture(scope="module")
def _kept() -> dict[str, Undisturbed]:
    return {}


@pytest.fixture
def undisturbed(hub: HubProcess, tmp_path: Path, _kept: dict[str, Undisturbed]) -> Undisturbed:
    """Run once, before the first fault."""
    if not _kept:
        outcomes = extract_here(LAB, tmp_path / "undisturbed")
        counts = hub.counts()
        _kept["lab"] = Undisturbed(models_in(tmp_path / "undisturbed"), {o.reference.name: o for o in outcomes}, counts)
        hub.forget()
    return _kept["lab"]


def test_every_layout_is_read_once_and_in_part(undisturbed: Undisturbed) -> None:
    assert {name: outcome.reference.entry for name, outcome in undisturbed.outcomes.items()} == TAKEN
    kinds = {name: outcome.kind for name, outcome in undisturbed.outcomes.items()}
    assert kinds.pop("lab/diffusion/text_encoder") is OutcomeKind.SKIPPED
    assert set(kinds.values()) == {OutcomeKind.EXTRACTED}
    assert {row["num_filters"] for row, _, _ in undisturbed.models.values()} == {24 * 51, 48 * 99}
    counts = undisturbed.counts
    assert counts["api"] <= 1 + 8  # a page, and each repository once
    # Three shards; their index to list and to read them; a config where the API says too little.
    weights, indices, descriptions = 9 + 3, 2, 1 + 3
    assert counts["resolve"] <= weights + indices + descriptions
    assert counts["bytes_cdn"] <= 0.5 * sum(o.reference.size for o in undisturbed.outcomes.values())


def test_a_second_run_costs_the_listing_alone(hub: HubProcess, tmp_path: Path, undisturbed: Undisturbed) -> None:
    for _ in range(2):
        outcomes = extract_here(LAB, tmp_path / "store")
    assert {o.kind for o in outcomes} == {OutcomeKind.ALREADY_THERE, OutcomeKind.SKIPPED}
    assert hub.counts()["cdn"] == undisturbed.counts["cdn"]


def check(store: Path, outcomes: Sequence[Outcome], undisturbed: Undisturbed) -> set[str]:
    """What is stored is right, what is not is a failure for now and recorded; the names of these."""
    stored, failed = models_in(store), rejects_in(store, "failures")
    assert all(stored[name] == undisturbed.models[name] for name in stored)
    missing = set(undisturbed.models) - set(stored)
    assert {o.reference.name for o in outcomes if o.kind is OutcomeKind.FAILED} == set(failed)
    wrong = {name: row["message"] for name, row in failed.items() if not row["retryable"] or "\n" in row["message"]}
    assert not wrong
    hidden = {name for name in missing if not any(each == name or name.startswith(f"{each}/") for each in failed)}
    assert not hidden, rejects_in(store, "skips")
    return missing


def marked(names: Iterable[str], quick: Collection[str]) -> list[Any]:
    """All of them; those that are not ``quick`` are for the slow suite: each is a run or two of ten models."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]


QUICK_ONCE = [
    "500, a fifth",
    "429 without headers",
    "reset by the CDN",
    "cut in the middle, often",
    "lying Content-Range",
    "whole files by 200",
    "403 by the CDN",
    "404 by the Hub, unnamed",
    "trickle",
    "500 for config.json once",
]
QUICK_LASTING = ["cut after 4 KB", "403 by the CDN", "500 for config.json", "520 for one repository"]


@pytest.mark.parametrize("name", marked(ONCE, QUICK_ONCE))
def test_what_passes_costs_little_and_loses_nothing(
    hub: HubProcess, tmp_path: Path, undisturbed: Undisturbed, name: str
) -> None:
    faults, requests, size = ONCE[name]
    hub.fail(*faults)
    outcomes = extract_here(LAB, tmp_path / "store")
    assert check(tmp_path / "store", outcomes, undisturbed) == set()
    counts, before = hub.counts(), undisturbed.counts
    kinds = ("api", "resolve", "cdn", "cache")
    assert sum(counts.get(k, 0) for k in kinds) <= sum(before.get(k, 0) for k in kinds) + requests, (counts, before)
    assert counts["bytes"] <= before["bytes"] * 1.05 + size, (counts, before)


@pytest.mark.parametrize("name", marked(LASTING, QUICK_LASTING))
def test_what_lasts_is_recorded_and_made_good(
    hub: HubProcess, tmp_path: Path, undisturbed: Undisturbed, name: str
) -> None:
    store, access = tmp_path / "store", HubAccess(max_wait=20)
    hub.fail(*LASTING[name])
    missing = check(store, extract_here(LAB, store, access), undisturbed)
    assert missing
    hub.heal()
    budget.use(None)  # another process, which was not told to wait
    assert check(store, extract_here(LAB, store, access), undisturbed) == set()
    assert not rejects_in(store, "failures")


@pytest.mark.parametrize("kind", [FaultKind.FLIPPED_BIT, FaultKind.SHIFTED_BODY, FaultKind.WRONG_BYTES])
def test_whole_files_are_checked_against_their_digest(
    hub: HubProcess, tmp_path: Path, undisturbed: Undisturbed, kind: FaultKind
) -> None:
    store, access = tmp_path / "store", HubAccess(verify=Verify.whole)
    hub.fail(Fault(kind, "cdn GET", ALWAYS))
    outcomes = extract_here(LAB, store, access)
    assert not models_in(store)
    assert {o.kind for o in outcomes} == {OutcomeKind.FAILED}
    assert all(o.retryable and "SHA-256" in str(o.message) for o in outcomes)
    hub.heal()
    outcomes = extract_here(LAB, store, access)
    assert {o.kind for o in outcomes} == {OutcomeKind.EXTRACTED, OutcomeKind.SKIPPED}
    for name, (row, layers, filters) in models_in(store).items():
        assert (layers, filters) == undisturbed.models[name][1:]
        assert row["sha256"] is not None or name == "lab/shards"


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        (FaultKind.FORBIDDEN, "GatedRepo", "gated"),
        (FaultKind.UNAUTHORISED, "RepoNotFound", "not_found"),
        (FaultKind.NOT_FOUND, "EntryNotFound", "not_found"),
    ],
)
def test_what_the_hub_names_is_believed(
    hub: HubProcess, tmp_path: Path, kind: FaultKind, code: str, reason: str
) -> None:
    hub.fail(Fault(kind, RESOLVE + ".*model.safetensors", code=code))
    [outcome] = extract_here(HubSettings(repos=("lab/half-twin",)), tmp_path / "store")
    assert (outcome.kind, outcome.reason) == (OutcomeKind.SKIPPED, reason)


def test_gated_private_missing_renamed(
    hub: HubProcess, tmp_path: Path, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.set(token="hf_good", gated=["lab/half-twin"], private=["lab/zip-bin"], renamed={"old/name": "lab/plain"})
    wanted = HubSettings(repos=("lab/half-twin", "lab/zip-bin", "lab/missing", "old/name"))
    found = {o.reference.name: (o.kind, o.reason) for o in extract_here(wanted, tmp_path / "store")}
    assert found["lab/half-twin"] == (OutcomeKind.SKIPPED, "gated")
    assert found["lab/zip-bin"] == found["lab/missing"] == (OutcomeKind.SKIPPED, "not_found")
    [renamed] = [row for row, _, _ in models_in(tmp_path / "store").values()]
    assert renamed["uri"] == "lab/plain"
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    extract_here(wanted, tmp_path / "store")
    stored = models_in(tmp_path / "store")
    assert stored["lab/zip-bin"] == undisturbed.models["lab/zip-bin"]
    assert not [each for each in hub.requests() if each.origin == "cdn" and "authorization" in each.headers]


def empty(folder: Path) -> Store:
    """A store to write to."""
    store = Store.open(StoreSettings(str(folder)))
    store.prepare()
    return store


def test_changed_and_renamed_between_listing_and_reading(
    hub: HubProcess, layouts: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    [reference] = list_references(HubSettings(repos=("lab/plain",)))
    folder, readme = layouts / "lab/plain", layouts / "lab/plain/README.md"
    before = readme.read_text()
    readme.write_text(before + "\nA word more.\n")
    try:
        assert [each.revision for each in list_references(HubSettings(repos=("lab/plain",)))] != [reference.revision]
        changed = extract_model(reference, empty(tmp_path / "changed"), ExtractSettings(), CPU, tmp_path)
    finally:
        readme.write_text(before)
    hub.set(renamed={"lab/plain": "lab/elsewhere"})
    folder.rename(layouts / "lab/elsewhere")
    try:
        renamed = extract_model(reference, empty(tmp_path / "renamed"), ExtractSettings(), CPU, tmp_path)
    finally:
        (layouts / "lab/elsewhere").rename(folder)
    assert changed.kind is renamed.kind is OutcomeKind.EXTRACTED
    for store in ("changed", "renamed"):
        assert models_in(tmp_path / store) == {"lab/plain": undisturbed.models["lab/plain"]}


def test_pages_at_another_host(hub: HubProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.set(page_size=3, link_base="https://huggingface.co")  # as a mirror that passes on what it is told
    assert len(extract_here(LAB, tmp_path / "store")) == len(TAKEN)
    hub.set(link_base=hub.cdn_endpoint)
    hub.forget()
    with pytest.raises(Exception, match=hub.cdn_endpoint):
        extract_here(LAB, tmp_path / "other")
    assert not [each for each in hub.requests() if each.origin == "cdn"]


def test_an_address_that_ends_is_asked_for_again(hub: HubProcess, tmp_path: Path, undisturbed: Undisturbed) -> None:
    hub.set(signature_seconds=-5)
    missing = check(tmp_path / "store", extract_here(LAB, tmp_path / "store"), undisturbed)
    assert missing
    hub.set(signature_seconds=3600)
    assert check(tmp_path / "store", extract_here(LAB, tmp_path / "store"), undisturbed) == set()


@pytest.mark.parametrize("several", ["first", "whole", "refused"])
def test_servers_that_know_one_range_only(
    hub: HubProcess, tmp_path: Path, undisturbed: Undisturbed, several: str
) -> None:
    hub.set(several_ranges=several)
    assert check(tmp_path / "store", extract_here(LAB, tmp_path / "store"), undisturbed) == set()
    assert hub.counts()["resolve"] <= undisturbed.counts["resolve"] + (len(TAKEN) if several == "refused" else 0)
