"""The actors of a run from the request to the end: placed, probed, ready, or sent away; and the nodes they are on."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from distributed import rooms
from distributed.errors import ClusterError, first_line
from distributed.outcomes import MEMORY_ADVICE, NotReady
from distributed.rooms import Need

logger = logging.getLogger(__name__)

#: Seconds between two looks at the nodes and what is free on them.
LOOK_SECONDS = 1.0
#: Starts that failed for what may pass by itself (a death, a server) before a node is set aside.
MOST_FAILURES = 3
#: Seconds from one such failure to the next start.
BACKOFF_SECONDS = 2.0
#: Seconds in which an actor may come up where there is room for it, however short the wait for room: a node may
#: install what a job asks for.
START_SECONDS = 300.0
#: Seconds until the room of what has died is free again, in the cluster's eyes.
SETTLE_SECONDS = 10.0
#: Seconds that actors without work are kept for work that may come, before their room is given back.
IDLE_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class Member:
    """One actor.

    Attributes:
        handle: of its process.
        node: id of its node, "" until it has answered from there.
        since: monotonic seconds at which its present part began: to be placed, to start, to wait for work.
    """

    handle: Any
    node: str = ""
    since: float = field(default_factory=time.monotonic)


class Crew:
    """Keeps as many actors as there is work and room for.

    An actor is asked for as Ray wants it, by what it needs: those for whom there is no room yet are the demand that an
    autoscaler sees, and the first to use a node that joins or a room that another tenant leaves. Each says first where
    it is. The first on a node is the node's probe: the others there begin when it has started well. A node that can't
    do the work is set aside: named once, and left out of every later request.

    Args:
        new_actor: gives the handle of a new actor (``ExtractionProcess``) on none of the nodes with the given ids.
        need: what each reserves.
        most: actors at a time; None: as many as the nodes have room for, looked at again and again.
        wait: seconds without any placed actor, while there is work, after which there is no use in waiting.
    """

    def __init__(self, new_actor: Callable[[Collection[str]], Any], need: Need, most: int | None, wait: float) -> None:
        self._new_actor, self._need, self._most, self._wait = new_actor, need, most, wait
        self._placing: dict[Any, Member] = {}
        self._behind: list[Member] = []  # placed, and waiting for the probe of their node
        self._starting: dict[Any, Member] = {}
        self._idle: list[Member] = []
        self._busy = 0
        self._probing, self._proven = set[str](), set[str]()
        self._set_aside: dict[str, str] = {}  # node → why
        self._failures = Counter[str]()  # of starts, by node
        self._nodes: tuple[rooms.Node, ...] = ()
        self._names: dict[str, str] = {}
        self._looked = self._not_before = float("-inf")
        self._is_new = False  # what was seen, to whom asks for as many as fit
        self._last_cause = "nodes have room, but nothing answers from there: see Ray's logs"
        self._unplaced_since: float | None = None
        self._has_seen_room = self._has_placed = False
        self._surplus_since: float | None = None

    # What the pool asks of it

    def keep(self, waiting: int, busy: int) -> None:
        """Ask for actors, or let some go, so that they suit ``waiting`` models beside the ``busy`` actors.

        Raises:
            ClusterError: no node can do the work, or none has had room for as long as the run may wait.
        """
        now, self._busy = time.monotonic(), busy
        if now - self._looked >= LOOK_SECONDS:
            self._look()
        for ref, member in list(self._starting.items()):
            if now - member.since > self._patience:
                del self._starting[ref]
                self._failed(member, NotReady(f"an actor has not started within {self._patience:.0f} s"))
        if waiting and not self._placed:
            self._see_whether_it_is_vain(now)
        else:
            self._unplaced_since, self._has_seen_room = None, False
        wanted = waiting + busy if self._most is None else min(self._most, waiting + busy)
        surplus = self._placed + len(self._placing) - wanted
        if surplus <= 0:
            self._surplus_since = None
            if now >= self._not_before:
                self._ask(-surplus)
        elif self._surplus_since is None:
            self._surplus_since = now
        elif now - self._surplus_since > IDLE_SECONDS:
            self._let_go(surplus)

    @property
    def pending(self) -> list[Any]:
        """The answers that are waited for; tell ``answered`` of each."""
        return [*self._placing, *self._starting]

    def answered(self, ref: Any) -> None:
        """One of ``pending`` has come."""
        if ref in self._placing:
            member = self._placing.pop(ref)
            try:
                member.node = ray.get(ref)
            except RayError as error:
                self._not_placed(error)
            else:
                self._place(member)
            return
        member = self._starting.pop(ref)
        try:
            problem = ray.get(ref)
        except RayError as error:
            if is_loss_of_node(error):
                self._look()
                return
            problem = NotReady(cause_of(error), may_pass=is_death(error))
        if problem is not None:
            self._failed(member, problem)
            return
        self._probing.discard(member.node)
        self._failures.pop(member.node, None)
        self._proven.add(member.node)
        self._start_those_behind(member.node)
        self.free(member)

    def take(self) -> Member | None:
        """An actor for a model, if one has nothing to do."""
        return self._idle.pop() if self._idle else None

    def free(self, member: Member) -> None:
        """It may take another model."""
        member.since = time.monotonic()
        self._idle.append(member)

    def node_name(self, member: Member) -> str:
        """What its node is called."""
        if member.node not in self._names:
            self._look()
        return self._names.get(member.node, member.node[:8])

    def has_lost(self, member: Member) -> bool:
        """Whether its node is gone: Ray does not always say so of an actor that died with it."""
        self._look()
        return all(node.node_id != member.node for node in self._nodes)

    def waiting(self) -> str:
        """What is waited for now: ``waiting for 3 actors: each needs 1 GPU, the largest free node has 0``, or ""."""
        why = rooms.shortage(self._need, self._usable) if self._placing else ""
        if why:
            return f"waiting for {_actors(len(self._placing))}: {why}"
        return f"waiting for {_actors(self.coming)} to start" if self.coming and not (self._idle or self._busy) else ""

    @property
    def coming(self) -> int:
        """Actors that are to be placed, or to start."""
        return len(self._placing) + len(self._starting) + len(self._behind)

    def end(self) -> None:
        """Send all away that have no model."""
        for member in [*self._placing.values(), *self._starting.values(), *self._behind, *self._idle]:
            ray.kill(member.handle)
        self._placing, self._starting, self._behind, self._idle = {}, {}, [], []

    # Inside

    @property
    def _placed(self) -> int:
        return self._busy + len(self._starting) + len(self._behind) + len(self._idle)

    @property
    def _usable(self) -> list[rooms.Node]:
        return [node for node in self._nodes if node.node_id not in self._set_aside]

    @property
    def _patience(self) -> float:
        return max(self._wait, START_SECONDS)

    def _look(self) -> None:
        """At the nodes: what is on one that is gone is gone."""
        self._nodes, self._looked, self._is_new = rooms.nodes(), time.monotonic(), True
        self._names |= {node.node_id: node.name for node in self._nodes}
        there = {node.node_id for node in self._nodes}
        self._idle = [member for member in self._idle if member.node in there]
        self._behind = [member for member in self._behind if member.node in there]
        self._probing &= there

    def _ask(self, number: int) -> None:
        if self._most is None:
            if not self._is_new:  # what is asked for now shows in what is free, a moment later
                return
            self._is_new = False
            if self._need.resources:
                room = sum(self._need.fits(node.free) for node in self._usable) - len(self._placing)
            else:
                room = len(self._usable) - self._placed - len(self._placing)
            demand = 0 if self._placed or self._placing else 1
            number = min(number, max(room, demand))
        for _ in range(number):
            member = Member(self._new_actor(self._set_aside))
            self._placing[member.handle.where.remote()] = member

    def _let_go(self, number: int) -> None:
        """First those that nobody has placed, the last asked for first; then those that wait for work."""
        for ref in list(reversed(self._placing))[:number]:
            ray.kill(self._placing.pop(ref).handle)
            number -= 1
        for member in (self._behind + self._idle)[:number]:
            (self._behind if member in self._behind else self._idle).remove(member)
            ray.kill(member.handle)

    def _place(self, member: Member) -> None:
        self._failures.pop("", None)
        self._has_placed = True
        if member.node in self._set_aside:
            ray.kill(member.handle)
        elif member.node in self._probing:
            self._behind.append(member)
        else:
            self._start(member)

    def _start(self, member: Member) -> None:
        member.since = time.monotonic()
        is_first = member.node not in self._proven
        if is_first:
            self._probing.add(member.node)
        self._starting[member.handle.start.remote(is_first)] = member

    def _start_those_behind(self, node: str, most: int | None = None) -> None:
        mine = [member for member in self._behind if member.node == node][:most]
        self._behind = [member for member in self._behind if member not in mine]
        for member in mine:
            self._start(member)

    def _not_placed(self, error: RayError) -> None:
        """An actor has ended before it could say where: no node is to blame by name."""
        self._not_before = time.monotonic() + BACKOFF_SECONDS
        self._last_cause = cause_of(error)
        if isinstance(error, OutOfMemoryError):  # of what others hold: as good as no room
            return
        self._failures[""] += 1
        if self._failures[""] >= MOST_FAILURES:
            raise ClusterError(f"none of {MOST_FAILURES} actors could be started: {self._last_cause}")

    def _failed(self, member: Member, problem: NotReady) -> None:
        ray.kill(member.handle)
        node = member.node
        self._probing.discard(node)
        self._failures[node] += 1
        if problem.may_pass and self._failures[node] < MOST_FAILURES:
            logger.info("an actor on node %s could not start, another will try: %s", self.node_name(member), problem)
            self._not_before = time.monotonic() + BACKOFF_SECONDS
            self._start_those_behind(node, 1)
            return
        if node not in self._set_aside:
            logger.warning("node %s is set aside: %s", self.node_name(member), problem)
        self._set_aside[node] = str(problem)
        for each in [each for each in self._behind if each.node == node]:
            ray.kill(each.handle)
            self._behind.remove(each)
        self._let_go(len(self._placing))  # they might be placed there: those that follow can't

    def _see_whether_it_is_vain(self, now: float) -> None:
        usable = self._usable
        if self._set_aside and not any(self._need.fits(node.total) for node in usable):
            raise ClusterError(self._causes("no node can do the work"))
        self._has_seen_room |= any(self._need.fits(node.free) for node in usable)
        if self._unplaced_since is None:
            self._unplaced_since = now
        limit = self._wait if not self._has_placed else max(self._wait, SETTLE_SECONDS)
        if self._has_seen_room:
            limit = self._patience
        if now - self._unplaced_since >= limit:
            why = (
                rooms.shortage(self._need, usable) or "nodes have room, but nothing answers from there: see Ray's logs"
            )
            told = f"no actor was placed within {limit:.0f} s (cluster.wait): {why}"
            raise ClusterError(self._causes(told) if self._set_aside else told)

    def _causes(self, what: str) -> str:
        """With why nodes are set aside: once, where it is the same of all."""
        causes = list(dict.fromkeys(self._set_aside.values()))
        if len(causes) == 1:
            return f"{what}: {causes[0]}"
        told = (f"{self._names.get(node, node[:8])}: {why}" for node, why in self._set_aside.items())
        return f"{what}: {'; '.join(told)}"


def _actors(number: int) -> str:
    return f"{number} actor{'' if number == 1 else 's'}"


def is_death(error: RayError) -> bool:
    """Whether the process is gone, not merely a call of it."""
    return not isinstance(error, RayTaskError)


def is_loss_of_node(error: RayError) -> bool:
    """Whether Ray says that an actor died because its node did, or the raylet there (noticed after some 14 s)."""
    return "node has died" in str(error)  # and nowhere else


def cause_of(error: RayError) -> str:
    """The line of a failed call that names the exception behind it; the first where none does."""
    if isinstance(error, OutOfMemoryError):
        return f"an actor was killed because its node ran out of memory: {MEMORY_ADVICE}"
    if isinstance(error, RayTaskError) and isinstance(error.cause, ImportError):
        return f"{error.cause}: install it there, or submit the job with the project as its --working-dir"
    named = re.findall(r"^[\w.]*(?:Error|Exception|Exit|Interrupt): .*", str(error), re.MULTILINE)
    return str(named[-1]) if named else first_line(error)
