"""Linked phones over many workers that are killed at random: `benchmarks/fleet.py`, and what must be true of it."""

import os

import pytest

from acceptance.figures import figures_of
from acceptance.gateway import Json

LAPSE_S = 15.0
SLACK_S = 10.0  # a look comes every second; the machine that tests run on is busy
pytestmark = pytest.mark.mission("Z5")


def fleet(database_url: str, *words: str, limit: float) -> Json:
    """Its figures."""
    return figures_of("fleet.py", "--database-url", database_url, *words, limit=limit)


def expect_kept(figures: Json, *, sessions: int, workers: int) -> None:
    """What is promised, with slack for a machine of two cores."""
    messages = figures["messages"]
    wrong = ("lost", "doubled_untold", "denied", "unsettled", "out_of_order", "refused")
    assert {name: messages[name] for name in wrong} == dict.fromkeys(wrong, 0), messages
    assert messages["accepted"] > 0
    assert figures["held_at_end"] == sessions
    assert figures["twice"]["max"] < SLACK_S, figures["twice"]
    kills = [one for one in figures["events"] if one["kind"] == "kill"]
    assert kills
    for one in kills:
        assert one["connected_s"]["count"] == one["phones"], one
        assert one["connected_s"]["p95"] < LAPSE_S + SLACK_S, one
        # who took some over may be killed itself, before it has connected them
        assert one["connected_s"]["max"] < LAPSE_S * min(len(kills), 2) + SLACK_S, one
    share, shares = sessions / workers, figures["shares_at_end"]
    assert share * 0.5 < shares["least"] <= shares["most"] < share * 1.1 + 2, shares
    assert figures["errors"] == []


def test_the_phones_of_a_killed_worker_are_held_by_the_others_in_time_and_no_message_is_lost(database_url: str) -> None:
    figures = fleet(database_url, "--sessions", "200", "--workers", "3", "--seconds", "24", limit=240)
    expect_kept(figures, sessions=200, workers=3)


@pytest.mark.long
def test_ten_thousand_phones_over_eight_workers_outlive_kills_pauses_and_stops(database_url: str) -> None:
    seed = os.environ.get("FLEET_SEED", "1")
    figures = fleet(database_url, "--seed", seed, limit=900)
    assert {one["kind"] for one in figures["events"]} == {"kill", "freeze", "stop"}
    expect_kept(figures, sessions=10_000, workers=8)
