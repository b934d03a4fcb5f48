"""The budget of requests against a server that counts them: none too many, whoever asks."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from distributed.errors import RetryableError
from distributed.hub import budget, client
from distributed.hub.budget import RateLimit, RequestBudget, RequestKind
from distributed.hub.settings import HubAccess
from tests.loopback_hub import LoopbackHub, Quotas

API = RequestKind.api


def ask(hub: LoopbackHub, number: int, access: HubAccess = HubAccess()) -> Any:
    return client.get_json(f"{hub.endpoint}/api/models/many/net-{number:05}", access=access)["id"]


def test_threads_never_overdraw_it(hub: LoopbackHub) -> None:
    hub.tiny, hub.quotas = 100, Quotas(api=25, window=3)
    start = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda number: ask(hub, number), range(100)))) == 100
    assert hub.counts()["429"] == 0
    assert time.monotonic() - start < 3 * 5 + 10
    assert len(hub.requests) == 100


def test_what_others_used_is_seen_before_many_ask(hub: LoopbackHub) -> None:
    """The quota is of the token, not of this process."""
    hub.tiny, hub.quotas = 20, Quotas(api=25, window=4)
    for _ in range(18):
        hub.quotas.count("", "api")
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda number: ask(hub, number), range(20)))) == 20
    assert hub.counts()["429"] == 0


def test_a_wait_for_it_ends_with_max_wait(hub: LoopbackHub) -> None:
    hub.tiny, hub.quotas = 9, Quotas(api=3, window=200)
    start = time.monotonic()
    for number in range(3):
        ask(hub, number)
    said = r"many/net-00003: the budget of requests is used up; the next try would be in \d+ s"
    with pytest.raises(RetryableError, match=said):
        ask(hub, 3, HubAccess(max_wait=30))
    assert time.monotonic() - start < 10
    assert len(hub.requests) == 3
    assert budget.current().waiting().startswith("many/net-00003 waits ")
    assert "for the Hub's budget (3 api requests in 200 s)" in budget.current().waiting()


def test_the_users_own_limit(hub: LoopbackHub) -> None:
    hub.tiny, hub.quotas = 9, Quotas(api=500, window=200)
    budget.use(None, HubAccess(api_budget=4))
    for number in range(4):
        ask(hub, number)
    with pytest.raises(RetryableError, match="the budget of requests is used up"):
        ask(hub, 4, HubAccess(max_wait=30))
    assert len(hub.requests) == 4


def test_a_refusal_closes_it_for_all() -> None:
    mine = RequestBudget(has_token=False)
    assert mine.reserve(API, "a") == 0
    mine.refused(API, "a", 30)
    assert 29 < mine.reserve(API, "b") <= 30
    assert mine.reserve(RequestKind.resolve, "b") == 0
    mine.refused(RequestKind.resolve, "b", 86_400)
    assert mine.reserve(RequestKind.resolve, "c") <= budget.WINDOW_SECONDS + 1


def test_answers_in_any_order_and_windows_that_begin_unseen() -> None:
    mine = RequestBudget(has_token=False)
    for what in "ab":
        assert mine.reserve(API, what) == 0
    assert mine.reserve(API, "c") > 0  # the first answers are awaited
    mine.answered(API, "b", RateLimit(1, 60, 100, 60))
    mine.answered(API, "a", RateLimit(2, 60, 100, 60))
    assert mine.reserve(API, "c") == 0
    assert mine.reserve(API, "d") > 50
    mine.answered(API, "c", RateLimit(90, 110, 100, 60))
    assert mine.reserve(API, "d") == 0


def test_it_moves_with_what_it_knows() -> None:
    mine = RequestBudget(has_token=True)
    assert mine.reserve(API, "a") == 0
    mine.answered(API, "a", RateLimit(2, 60, 100, 60))
    assert mine.reserve(API, "under way") == 0
    moved = pickle.loads(pickle.dumps(mine.moved()))
    assert mine.reserve(API, "b") > 0
    assert moved.reserve(API, "b") == 0
    assert 50 < moved.reserve(API, "c") < 70


def test_without_headers_the_documented_limits_hold(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.tiny = 9
    monkeypatch.setitem(budget.ANONYMOUS, "api", 5)
    for number in range(5):
        ask(hub, number)
    with pytest.raises(RetryableError, match="the budget of requests is used up"):
        ask(hub, 5, HubAccess(max_wait=100))
    assert len(hub.requests) == 5


def test_what_is_left_and_the_windows_after_it_say_how_long_many_requests_take() -> None:
    budget = RequestBudget(has_token=False)
    assert budget.least_seconds(RequestKind.resolve, 3000) == 0
    assert budget.least_seconds(RequestKind.resolve, 3001) == 300
    assert budget.least_seconds(RequestKind.resolve, 10_000) == 900
    assert budget.reserve(RequestKind.api, "a listing") == 0
    budget.answered(RequestKind.api, "a listing", RateLimit(10, 60.0, limit=50, window=120.0))
    assert budget.asked(RequestKind.api) == 1
    assert budget.least_seconds(RequestKind.api, 10) == 0
    assert 59 < budget.least_seconds(RequestKind.api, 60) <= 60
    assert 179 < budget.least_seconds(RequestKind.api, 61) <= 180
    mine = RequestBudget(has_token=False, access=HubAccess(resolve_budget=100))
    assert mine.least_seconds(RequestKind.resolve, 101) == 300
