"""Many connections, readers who do not read, a client who floods: `benchmarks/load_http.py`, small."""

from acceptance.figures import figures_of


def test_waves_of_connections_leave_nothing_open_and_a_flood_takes_nothing_from_others() -> None:
    figures = figures_of("load_http.py", "--small", limit=240)
    waves, (flood,) = figures["waves"], figures["fairness"].values()
    before, *after = waves["descriptors"]
    assert max(after) <= before, waves
    assert set(waves["statuses"]) <= {"200", "202", "400", "401", "404", "429"}, waves
    assert flood["flood"]["429"] > 0, "it was a flood"
    assert set(flood["calm"]) == {"200"}, "who keeps its limit is refused nothing"
    # first come, first served: both wait equally long, but for what a refusal is cheaper than an answer
    assert flood["calm_to_flood"]["median"] < 5, flood
    assert figures["answers_after_all"]
