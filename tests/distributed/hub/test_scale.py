"""Large models and many repositories, by the server's counts: what ``benchmarks.hub`` prints, asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hub import MODELS, listing, many, models

pytestmark = pytest.mark.slow


def test_models_cost_what_their_3x3_weights_do(tmp_path: Path) -> None:
    rows = {row["model"]: row for row in models(tmp_path, MODELS)}
    for name in MODELS:
        row = rows[f"timm/{name}"]
        if row["payload"]:
            assert row["ratio"] <= 1.06 or row["fetched"] - row["payload"] < 0.3, row
            assert row["cdn"] <= 8, row
        else:
            assert row["fetched"] < 0.2, row
    no_3x3 = rows["zip-bin/vit_tiny_patch16_224"]
    assert (no_3x3["outcome"], no_3x3["cdn"]) == ("skipped", 2)


def test_a_thousand_repositories_without_one_refusal(tmp_path: Path) -> None:
    first, second = many(tmp_path, 1000, 4, {"api": 100, "resolve": 300, "window": 5.0})
    assert (first["refused"], first["stored"], first["resolve"]) == (0, 1000, 1000)
    assert first["api"] == 1001
    assert first["seconds"] <= 2 * first["floor"] + 60
    assert (second["api"], second["resolve"], second["cdn"]) == (1, 0, 0)


def test_a_listing_is_paid_for_once(tmp_path: Path) -> None:
    first, second, killed, after = listing(tmp_path, [2000])
    assert (first["api"], second["api"]) == (2002, 2)
    assert killed["api"] + after["api"] <= 2002 + 2 + 250  # what was learned since the last flush is asked again
    assert first["listed"] == second["listed"] == after["listed"] == 2000
