"""What is done with each listed model, decided from what the store knows."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from distributed.dry_run import print_plan
from distributed.outcomes import Outcome, OutcomeKind
from distributed.plan import Planner
from distributed.recording import record, reject_of
from distributed.references import FileReference, ModelReference, Problem
from distributed.settings import Retry
from distributed.store import RejectKind, Store, StoreSettings
from tests.distributed.store import build


def reference(name: str, **changes: object) -> ModelReference:
    return dataclasses.replace(
        ModelReference("local", name, "/models", None, (FileReference(f"{name}.pth", 10, stamp=1),)),
        **changes,  # type: ignore[arg-type]
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(StoreSettings(str(tmp_path / "store")))


def write_model(store: Store, model_id: str, reference_key: str) -> None:
    layers = build.weights()
    model, table = build.finish(model_id, layers)()
    row = dataclasses.replace(model, reference_key=reference_key)
    store.write_model(model_id, build.batches(model_id, layers), lambda: (row, table))


def failure(of: ModelReference, *, retryable: bool) -> Outcome:
    return Outcome(of, OutcomeKind.FAILED, reason="RetryableError", message="503", retryable=retryable, attempts=3)


def test_deaths_of_earlier_runs_count_unless_a_model_is_asked_for_again(store: Store) -> None:
    poison, poor = reference("poison"), reference("poor")
    record(dataclasses.replace(failure(poison, retryable=True), reason="ActorDied", attempts=2), store, ())
    record(failure(poor, retryable=True), store, ())
    assert Planner(store, Retry.none).plan([poison, poor]).deaths == {poison.reference_key: 2}
    quarantined = dataclasses.replace(failure(poison, retryable=False), reason="quarantined")
    record(quarantined, store, (RejectKind.FAILURE,))
    plan = Planner(store, Retry.none).plan([poison, poor])
    assert ([each.reason for each in plan.settled], plan.to_extract) == (["quarantined"], (poor,))
    plan = Planner(store, Retry.failed).plan([poison, poor])
    assert (plan.to_extract, plan.deaths) == ((poison, poor), {})


def test_an_empty_store_has_everything_to_extract(store: Store) -> None:
    listed = [reference("a"), reference("b")]
    plan = Planner(store, Retry.none).plan(listed)
    assert (plan.listed, plan.to_extract, plan.settled) == (tuple(listed), tuple(listed), ())
    assert (plan.size, dict(plan.recorded)) == (20, {})


def test_a_model_is_there_by_its_id_or_by_its_reference(store: Store) -> None:
    pinned = reference("pinned", source="hub", root="lab/net", revision="c0ffee")
    assert pinned.pinned_model_id is not None
    on_disk = reference("on-disk")
    write_model(store, pinned.pinned_model_id, "0" * 16)
    write_model(store, build.OTHER_ID, on_disk.reference_key)
    changed = reference("on-disk", files=(FileReference("on-disk.pth", 10, stamp=2),))
    plan = Planner(store, Retry.all).plan([pinned, on_disk, changed])
    assert plan.to_extract == (changed,)
    told = {outcome.reference.name: (outcome.kind, outcome.model_id, outcome.known) for outcome in plan.settled}
    assert told == {
        "pinned": (OutcomeKind.ALREADY_THERE, pinned.pinned_model_id, True),
        "on-disk": (OutcomeKind.ALREADY_THERE, build.OTHER_ID, True),
    }


@pytest.mark.parametrize(
    ("retry", "tried"),
    [
        (Retry.none, {"passing"}),
        (Retry.failed, {"passing", "failed"}),
        (Retry.skipped, {"passing", "skipped"}),
        (Retry.all, {"passing", "failed", "skipped"}),
    ],
)
def test_what_was_recorded_is_tried_again_as_asked(store: Store, retry: Retry, tried: set[str]) -> None:
    names = ("skipped", "failed", "passing")
    skipped, failed, passing = references = [reference(name) for name in names]
    store.write_skip(reject_of(Outcome(skipped, OutcomeKind.SKIPPED, reason="gated", message="gated")))
    store.write_failure(reject_of(failure(failed, retryable=False)))
    store.write_failure(reject_of(failure(passing, retryable=True)))
    plan = Planner(store, retry).plan(references)
    assert {each.name for each in plan.to_extract} == tried
    assert {each.reference.name for each in plan.settled} == set(names) - tried
    assert all(each.known for each in plan.settled)
    kinds = {"skipped": RejectKind.SKIP, "failed": RejectKind.FAILURE, "passing": RejectKind.FAILURE}
    assert plan.recorded == {each.reference_key: (kinds[each.name],) for each in references}


def test_a_recorded_outcome_comes_back_as_it_was(store: Store) -> None:
    failed = failure(reference("failed"), retryable=False)
    store.write_failure(reject_of(failed))
    (known,) = Planner(store, Retry.none).plan([failed.reference]).settled
    place = dataclasses.replace(failed.place, file="failed.pth")
    assert known == dataclasses.replace(failed, known=True, place=place)


def test_a_problem_of_the_listing_is_a_new_skip_at_once(store: Store) -> None:
    gated = reference("gated", files=(), problem=Problem("gated", "lab/net: gated:\nask for access"))
    (outcome,) = Planner(store, Retry.none).plan([gated]).settled
    assert (outcome.kind, outcome.reason, outcome.known) == (OutcomeKind.SKIPPED, "gated", False)
    assert outcome.message == "lab/net: gated: ask for access"


def test_a_problem_that_is_recorded_is_not_new(store: Store) -> None:
    gated = reference("gated", files=(), problem=Problem("gated", "lab/net: gated"))
    (outcome,) = Planner(store, Retry.none).plan([gated]).settled
    store.write_skip(reject_of(outcome))
    assert Planner(store, Retry.none).plan([gated]).settled[0].known
    other = dataclasses.replace(gated, problem=Problem("not_found", "lab/net: not found"))
    assert not Planner(store, Retry.none).plan([other]).settled[0].known


def test_a_repository_that_could_not_be_listed_is_a_failure_until_it_can(store: Store) -> None:
    broken = reference("o/net", source="hub", root="o/net", files=(), problem=Problem("RetryableError", "500", True))
    lasting = dataclasses.replace(broken, name="o/net@v1", problem=Problem("PermanentError", "400"), revision="v1")
    plan = Planner(store, Retry.none).plan([broken, lasting])
    assert [(each.kind, each.retryable) for each in plan.settled] == [
        (OutcomeKind.FAILED, True),
        (OutcomeKind.FAILED, False),
    ]
    for outcome in plan.settled:
        store.write_failure(reject_of(outcome))
    assert Planner(store, Retry.none).plan([broken]).superseded == {}
    files = (FileReference("unet/model.safetensors", 10),)
    listed = reference("o/net/unet", source="hub", root="o/net", revision="c0ffee", files=files)
    again = Planner(store, Retry.none).plan([listed])
    assert again.to_extract == (listed,)
    assert dict(again.superseded) == {broken.reference_key: (RejectKind.FAILURE,)}


def test_the_plan_is_printed_with_names_as_they_are(store: Store) -> None:
    listed = [reference("[red]a[/red]"), reference("b", problem=Problem("gated", "lab/b: gated"))]
    console = Console(width=160, record=True, file=io.StringIO())
    print_plan(Planner(store, Retry.none).plan(listed), console)
    said = console.export_text()
    assert "[red]a[/red]" in said
    assert "skipped: lab/b: gated" in said
    assert "listed 2 = to extract 1 (10 B) + already there 0 + skipped 1 + failed 0" in said


def hub_reference(repo: str, revision: str = "c0ffee", sha256: str = "ab" * 32) -> ModelReference:
    return ModelReference("hub", repo, repo, revision, (FileReference("model.safetensors", 10, sha256),))


def write_hub_model(store: Store, of: ModelReference) -> str:
    model_id = of.pinned_model_id
    assert model_id is not None
    layers = build.weights()
    model, table = build.finish(model_id, layers)()
    row = dataclasses.replace(model, name=of.name, revision=of.revision, sha256=of.weights_sha256)
    store.write_model(model_id, build.batches(model_id, layers), lambda: (row, table))
    return model_id


def test_weights_that_the_store_has_of_another_repository_are_not_read(store: Store) -> None:
    model_id = write_hub_model(store, hub_reference("lab/first"))
    twin, newer = hub_reference("other/copy"), hub_reference("lab/first", revision="decade")
    other = dataclasses.replace(twin, name="other/ema", variant="ema")
    plan = Planner(store, Retry.all).plan([twin, newer, other])
    assert plan.to_extract == (other,)
    said = {o.reference.name: (o.kind, o.reason, o.message, o.place.found, o.known) for o in plan.settled}
    kind = OutcomeKind.SAME_CONTENT
    assert said == {
        "other/copy": (kind, "duplicate_of", "the same content as lab/first", model_id, False),
        "lab/first": (kind, "duplicate_of", "the same content as lab/first@c0ffee", model_id, False),
    }


def test_a_recorded_duplicate_holds_as_long_as_what_it_equals(store: Store) -> None:
    model_id = write_hub_model(store, hub_reference("lab/first"))
    twin = hub_reference("other/copy")
    (told,) = Planner(store, Retry.none).plan([twin]).settled
    record(told, store, ())
    (known,) = Planner(store, Retry.all).plan([twin]).settled
    assert (known.kind, known.message, known.known) == (OutcomeKind.SAME_CONTENT, told.message, True)
    Path(store.uri, "models", f"{model_id}.parquet").unlink()
    assert Planner(store, Retry.none).plan([twin]).to_extract == (twin,)


def test_what_could_not_be_listed_and_now_is_leaves_no_record_behind(store: Store) -> None:
    problem = Problem("RetryableError", "lab/net: the Hub answered 500", retryable=True)
    unlisted = [ModelReference("hub", name, name, None, (), problem=problem) for name in ("lab/net", "lab/other")]
    plan = Planner(store, Retry.none).plan(unlisted)
    assert {(o.kind, o.retryable, o.reason) for o in plan.settled} == {(OutcomeKind.FAILED, True, "RetryableError")}
    for outcome in plan.settled:
        record(outcome, store, ())
    component = dataclasses.replace(hub_reference("lab/net"), name="lab/net/unet")
    plan = Planner(store, Retry.none).plan([component, unlisted[1]])
    assert plan.superseded == {unlisted[0].reference_key: (RejectKind.FAILURE,)}
