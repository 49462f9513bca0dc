"""Tokens: how a rate is written, how a bucket empties and fills, what it tells."""

import pytest

from passerelle.clients.rate import Bucket, Rate, read_rate

RATE = Rate(60, 60, 3)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("600/m", Rate(600, 60, 600)),
        ("10/s", Rate(10, 1, 10)),
        (" 5000 / H ", Rate(5000, 3600, 5000)),
        ("600/m,burst=100", Rate(600, 60, 100)),
        ("1/m , burst = 20", Rate(1, 60, 20)),
        ("off", None),
        ("OFF ", None),
    ],
)
def test_a_rate_is_written_as_people_write_it(text: str, rate: Rate | None) -> None:
    assert read_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "600", "600/d", "0/m", "-1/s", "600/m,burst=0", "600/m burst=1", "9999999/s", "1e3/m", "٦٠/m,"]
)
def test_what_is_no_rate_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"600/m|1000000"):
        read_rate(text)


def test_a_bucket_gives_its_burst_and_then_one_token_at_a_time() -> None:
    bucket = Bucket.full(RATE, 100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_s == 1.0
    assert not bucket.take(100.9)
    assert bucket.take(101.1)
    assert not bucket.take(101.2)


def test_a_bucket_never_holds_more_than_its_burst_and_time_that_stands_still_harms_nothing() -> None:
    bucket = Bucket.full(RATE, 100.0)
    assert [bucket.take(5000.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(4000.0), "a clock that goes back gives nothing"


def test_what_is_left_is_told_as_the_draft_has_it() -> None:
    bucket = Bucket.full(RATE, 0.0)
    assert RATE.policy == '"default";q=60;w=60'
    bucket.take(0.0)
    assert bucket.told == '"default";r=2;t=1'
    bucket.take(0.5)
    assert bucket.told == '"default";r=1;t=2'
    bucket.take(0.5)
    bucket.take(0.5)
    assert bucket.told == '"default";r=0;t=3'


def test_a_bucket_believes_who_hears_of_everybody_and_keeps_what_it_spent_since() -> None:
    bucket = Bucket.full(RATE, 0.0)
    bucket.take(0.0)
    assert bucket.report() == 1
    bucket.take(0.0)
    bucket.learn(1.0, 0.0)
    assert bucket.tokens == 0.0
    assert bucket.report() == 1
    bucket.learn(-4.0, 0.0)
    assert not bucket.take(4.0), "a debt is paid back first"
    assert bucket.take(5.1)
