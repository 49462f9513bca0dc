"""What one probe makes of the state; nothing connects here."""

import asyncio

import pytest

from passerelle.redis_link import RedisState, RedisStatus, request_budget
from passerelle.redis_link.budget import deadline
from passerelle.redis_link.catalogue import known_fault

UP = RedisStatus.down(known_fault("REDIS_NOT_OPEN", "x")).probed(None, sure=True)
DOWN = RedisStatus.down(known_fault("REDIS_REFUSED", "x"))


@pytest.mark.parametrize(
    ("before", "code", "sure", "state", "writable"),
    [
        (DOWN, None, False, "up", True),
        (UP, "REDIS_REFUSED", False, "up", True),
        (UP, "REDIS_REFUSED", True, "down", False),
        (UP, "REDIS_OOM", False, "up", False),
        (UP, "REDIS_READONLY", False, "up", False),
        (UP, "REDIS_NOPERM", False, "up", False),
        (UP, "REDIS_WRITE_PAUSED", False, "up", True),
        (UP, "REDIS_WRITE_PAUSED", True, "up", False),
        (DOWN, "REDIS_OOM", False, "up", False),
        (UP, "REDIS_MAXCLIENTS", True, "up", True),
        (DOWN, "REDIS_MAXCLIENTS", True, "down", False),
        (DOWN, "REDIS_WRONGPASS", False, "down", False),
    ],
)
def test_one_probe_decides(before: RedisStatus, code: str | None, sure: bool, state: str, writable: bool) -> None:  # noqa: FBT001
    after = before.probed(known_fault(code, "x") if code else None, sure=sure)
    assert (after.state, after.writable) == (state, writable)


def test_the_time_of_a_change_stays_while_nothing_changes() -> None:
    again = DOWN.probed(known_fault("REDIS_LOADING", "x"), sure=True)
    assert again.since == DOWN.since
    assert again.fault is not None
    assert again.fault.code == "REDIS_LOADING"
    assert again.same_as(DOWN)
    assert UP.probed(None, sure=True) == UP
    assert DOWN.probed(None, sure=True).since > DOWN.since
    assert DOWN.probed(None, sure=True).state is RedisState.UP


def test_a_budget_is_shared_and_never_grows() -> None:
    async def look() -> None:
        now = asyncio.get_running_loop().time()
        assert deadline(5) == pytest.approx(now + 5, abs=0.05)
        with request_budget(2):
            outer = deadline(5)
            assert outer == pytest.approx(now + 2, abs=0.05)
            with request_budget(9):
                assert deadline(5) == outer
            with request_budget(1):
                assert deadline(5) == pytest.approx(now + 1, abs=0.05)
            assert deadline(5) == outer
        assert deadline(5) == pytest.approx(now + 5, abs=0.05)

    asyncio.run(look())
