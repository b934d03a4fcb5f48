"""The pool on a real Ray: deaths, retries, limits, order and back-pressure."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from distributed.errors import ClusterError, UnusableStoreError
from distributed.outcomes import NotReady, Outcome, OutcomeKind
from distributed.pool import ExtractionPool, PoolSettings
from distributed.references import FileReference, ModelReference
from distributed.rooms import Need

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def reference(name: str, size: int = 1) -> ModelReference:
    return ModelReference("local", name, "/models", None, (FileReference(f"{name}.pth", size, stamp=1),))


class ScriptedActor:
    """Behaves as the reference's name says, each try and each start leaving a mark in a shared folder.

    ``starts`` says how the first starts of a run go, one after the other; the later ones go well.
    """

    def __init__(self, folder: str, starts: tuple[str, ...] = ()) -> None:
        self.folder = Path(folder)
        for number, how in enumerate(starts):
            try:
                (self.folder / f"start{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            self.how = how
            break
        else:
            self.how = "well"
        if self.how == "is stillborn":
            raise ValueError("this node is ill\nin two lines")

    def where(self) -> str:
        return str(ray.get_runtime_context().get_node_id())

    def start(self, is_first: bool) -> NotReady | None:
        if self.how == "says so":
            return NotReady("no compiler on this node")
        if self.how == "may pass":
            return NotReady("503", may_pass=True)
        if self.how == "raises":
            raise ValueError("this node is ill\nin two lines")
        if self.how == "dies":
            os._exit(1)
        (self.folder / f"up.{os.getpid()}").touch()
        return None

    def extract(self, ref: ModelReference, attempt: int) -> Outcome:
        tries = len(list(self.folder.glob(f"{ref.name}.try*")))
        (self.folder / f"{ref.name}.try{tries}").write_text(f"{time.time()} {os.getpid()}")
        if ref.name.startswith("dies-once") and tries == 0:
            os._exit(1)
        if ref.name.startswith("always-dies"):
            os._exit(1)
        if ref.name.startswith("locked out"):
            raise UnusableStoreError("no permission to write in s3://b: grant it")
        if ref.name.startswith("flaky") and tries < 2:
            return Outcome(ref, OutcomeKind.FAILED, message="503", reason="RetryableError", retryable=True)
        if ref.name.startswith("broken"):
            return Outcome(ref, OutcomeKind.FAILED, message="no", reason="PermanentError")
        if ref.name.startswith("skips"):
            return Outcome(ref, OutcomeKind.SKIPPED, message="gated", reason="gated")
        if ref.name.startswith("slow"):
            time.sleep(0.7)
        if ref.name.startswith("together"):  # until the others of its kind are read too
            until = time.time() + 60
            while len(list(self.folder.glob("together*.try0"))) < 3:
                if time.time() > until:
                    return Outcome(ref, OutcomeKind.FAILED, message="alone", reason="PermanentError")
                time.sleep(0.1)
        if ref.name == "slow-huge":  # until the other actors have started too
            while len(list(self.folder.glob("up.*"))) < 4:
                time.sleep(0.1)
        (self.folder / f"{ref.name}.end").write_text(f"{time.time()}")
        return Outcome(ref, OutcomeKind.EXTRACTED, model_id=ref.name, filters=1)


class Recorder:
    def __init__(self) -> None:
        self.retries: list[Outcome] = []
        self.ended: list[Outcome] = []
        self.waits: list[str] = []

    def finished(self, outcome: Outcome) -> None:
        self.ended.append(outcome)

    def retried(self, outcome: Outcome, wait: float) -> None:
        self.retries.append(outcome)

    def tick(self, waiting: str = "") -> None:
        self.waits.append(waiting)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exc: object) -> None: ...


def new_actor(folder: Path, starts: tuple[str, ...] = ()) -> Callable[[Collection[str]], Any]:
    actor = ray.remote(ScriptedActor).options(num_cpus=0.1, max_restarts=0)
    return lambda but: actor.remote(str(folder), starts)


def settings_of(**settings: Any) -> PoolSettings:
    usual = {"actors": 2, "need": Need(0.1), "wait": 60, "max_bytes_in_flight": 10**9, "max_attempts": 3}
    return PoolSettings(**{**usual, **settings})


def run(
    folder: Path,
    references: list[ModelReference],
    starts: tuple[str, ...] = (),
    deaths: dict[str, int] | None = None,
    **settings: Any,
) -> tuple[dict[str, Outcome], Recorder]:
    recorder = Recorder()
    pool = ExtractionPool(new_actor(folder, starts), settings_of(**settings), recorder)
    outcomes = list(pool.run([references], deaths))
    assert len(outcomes) == len(references)
    return {o.reference.name: o for o in outcomes}, recorder


def test_every_reference_has_one_outcome_whatever_happens_to_others(tmp_path: Path) -> None:
    names = ["dies-once-a", "always-dies", "flaky", "broken", "skips", "fine-a", "fine-b", "dies-once-b"]
    outcomes, recorder = run(tmp_path, [reference(name) for name in names])
    kinds = {name: outcome.kind for name, outcome in outcomes.items()}
    assert kinds == {
        "dies-once-a": OutcomeKind.EXTRACTED,
        "dies-once-b": OutcomeKind.EXTRACTED,
        "always-dies": OutcomeKind.FAILED,
        "flaky": OutcomeKind.EXTRACTED,
        "broken": OutcomeKind.FAILED,
        "skips": OutcomeKind.SKIPPED,
        "fine-a": OutcomeKind.EXTRACTED,
        "fine-b": OutcomeKind.EXTRACTED,
    }
    assert outcomes["always-dies"].attempts == 3
    assert "the actor died" in (outcomes["always-dies"].message or "")
    assert (outcomes["always-dies"].reason, outcomes["always-dies"].retryable) == ("quarantined", False)
    assert outcomes["flaky"].attempts == 3
    assert outcomes["broken"].attempts == 1  # permanent: tried once
    assert sorted(o.reference.name for o in recorder.ended) == sorted(names)
    assert [o.reference.name for o in recorder.retries].count("broken") == 0


def test_what_waits_behind_a_small_model_that_kills_its_actor_is_not_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = set[str]()
    left_by = ExtractionPool._left_by

    def seen(pool: ExtractionPool, member: Any) -> list[Any]:
        ended = left_by(pool, member)
        behind.update(work.reference.name for work, outcome in ended if outcome is None)
        return ended

    monkeypatch.setattr(ExtractionPool, "_left_by", seen)
    names = ["always-dies", *(f"dies-once-{i}" for i in range(4)), *(f"small-{i:02}" for i in range(60))]
    outcomes, recorder = run(tmp_path, [reference(name) for name in names])
    assert behind
    assert {name for name, o in outcomes.items() if o.kind is OutcomeKind.FAILED} == {"always-dies"}
    assert {o.reference.name for o in recorder.retries} == set(names[:5])
    small = [o for name, o in outcomes.items() if name.startswith("small")]
    assert {(o.kind, o.attempts, o.retryable) for o in small} == {(OutcomeKind.EXTRACTED, 1, False)}


def test_largest_first(tmp_path: Path) -> None:
    sizes = {"small": 1, "large": 100, "middle": 10}
    run(tmp_path, [reference(name, size) for name, size in sizes.items()], actors=1)
    started = {name: float((tmp_path / f"{name}.try0").read_text().split()[0]) for name in sizes}
    assert sorted(started, key=started.__getitem__) == ["large", "middle", "small"]


def test_bytes_in_flight_are_bounded_and_a_large_model_goes_alone(tmp_path: Path) -> None:
    sizes = {"slow-huge": 100, "slow-a": 6, "slow-b": 6, "slow-c": 4}
    run(tmp_path, [reference(name, size) for name, size in sizes.items()], actors=4, max_bytes_in_flight=10)
    spans = {
        name: (
            float((tmp_path / f"{name}.try0").read_text().split()[0]),
            float((tmp_path / f"{name}.end").read_text()),
        )
        for name in sizes
    }
    for start, _ in spans.values():
        together = [name for name, (begin, end) in spans.items() if begin <= start < end]
        assert sum(sizes[name] for name in together) <= 10 or together == ["slow-huge"]
    # and the budget is used: the 4-byte model runs beside a 6-byte one
    (start, end), others = spans["slow-c"], [spans["slow-a"], spans["slow-b"]]
    assert any(begin < end and start < finish for begin, finish in others)


def test_what_is_read_in_ranges_counts_what_is_held_of_it(tmp_path: Path) -> None:
    files = (FileReference("model.safetensors", 3 * 2**30),)
    references = [ModelReference("hub", f"together-{name}", "lab/net", "c0ffee", files) for name in "abc"]
    outcomes, _ = run(tmp_path, references, actors=3, max_bytes_in_flight=4 * 2**30)
    assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.EXTRACTED}


def test_work_may_still_come_and_the_largest_of_what_is_known_goes_first(tmp_path: Path) -> None:
    def arriving() -> Iterator[list[ModelReference]]:
        yield [reference("first", 1)]
        while not (tmp_path / "first.end").exists():
            yield []
        yield [reference("small", 2), reference("large", 9)]
        yield [reference("middle", 5)]

    outcomes = list(ExtractionPool(new_actor(tmp_path), settings_of(actors=1), Recorder()).run(arriving()))
    names = [outcome.reference.name for outcome in outcomes]
    assert names[:2] == ["first", "large"]
    assert sorted(names[2:]) == ["middle", "small"]


@pytest.mark.parametrize(("earlier", "tries"), [(0, 3), (2, 1)])
def test_deaths_add_up_across_runs(tmp_path: Path, earlier: int, tries: int) -> None:
    poison = reference("always-dies")
    outcomes, recorder = run(tmp_path, [poison, reference("fine")], deaths={poison.reference_key: earlier})
    found = outcomes["always-dies"]
    assert (found.reason, found.retryable, found.attempts) == ("quarantined", False, 3)
    assert len(list(tmp_path.glob("always-dies.try*"))) == tries
    assert [each.reason for each in recorder.retries] == ["ActorDied"] * (tries - 1)
    assert outcomes["fine"].kind is OutcomeKind.EXTRACTED


def test_a_store_that_nobody_can_use_ends_the_run_once_and_charges_no_model(tmp_path: Path) -> None:
    pool = ExtractionPool(new_actor(tmp_path), settings_of(actors=1), recorder := Recorder())
    outcomes = pool.run([[reference("fine", 9), reference("locked out", 5), reference("never", 1)]])
    assert next(outcomes).reference.name == "fine"
    with pytest.raises(UnusableStoreError, match=r"^no permission to write in s3://b: grant it$"):
        next(outcomes)
    assert [each.reference.name for each in recorder.ended] == ["fine"]
    assert recorder.retries == []
    assert not list(tmp_path.glob("never*"))


#: How starts fail → what the run ends with, and after how many starts.
CAUSES = {
    "raises": ("no node can do the work: ValueError: this node is ill", 1),
    "says so": ("no node can do the work: no compiler on this node", 1),
    "may pass": ("no node can do the work: 503", 3),
    "dies": ("no node can do the work: The actor died", 3),
    "is stillborn": ("none of 3 actors could be started: ValueError: this node is ill", 6),
}


@pytest.mark.parametrize("how", CAUSES)
def test_where_no_actor_can_start_the_run_ends_once_with_the_cause(tmp_path: Path, how: str) -> None:
    names = [f"fine-{number}" for number in range(6)]
    cause, most = CAUSES[how]
    with pytest.raises(ClusterError, match=f"^{cause}") as raised:
        run(tmp_path, [reference(name) for name in names], (how,) * 100)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("*.try*"))
    assert len(list(tmp_path.glob("start*"))) <= most + 1  # the second one waits behind the probe


def test_starts_that_fail_for_what_may_pass_cost_no_model_a_try(tmp_path: Path) -> None:
    names = [f"fine-{number}" for number in range(6)]
    outcomes, recorder = run(tmp_path, [reference(name) for name in names], ("dies", "may pass"))
    assert {(o.kind, o.attempts) for o in outcomes.values()} == {(OutcomeKind.EXTRACTED, 1)}
    assert recorder.retries == []


def test_who_has_started_goes_on_when_no_other_can(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"slow-{number}" for number in range(4)]
    outcomes, _ = run(tmp_path, [reference(name) for name in names], ("well", *["says so"] * 100))
    assert {(o.kind, o.attempts) for o in outcomes.values()} == {(OutcomeKind.EXTRACTED, 1)}
    assert len({(tmp_path / f"{name}.try0").read_text().split()[1] for name in names}) == 1
    (line,) = [record.getMessage() for record in caplog.records if "set aside" in record.getMessage()]
    assert line.endswith("is set aside: no compiler on this node")
    assert {outcome.node for outcome in outcomes.values()} == {line.removeprefix("node ").split(" is set")[0]}
