"""What a session that was put off waits for."""

from datetime import UTC, datetime, timedelta

import pytest

from passerelle.clock import Clock
from passerelle.messages.agenda import Agenda
from passerelle.messages.policy import Hold, Why
from passerelle.messages.ports import Speaker

pytestmark = pytest.mark.mission("Z2")
SESSION = "sess_1"
HOUR = timedelta(hours=1)


@pytest.fixture
def agenda() -> Agenda:
    """One session that has something to say."""
    agenda, now = Agenda(Clock()), datetime.now(UTC)
    agenda.learn(
        [Speaker(client_id="default", session_id=SESSION, device="1", due_at=now, linked_at=now, paused_until=None)]
    )
    return agenda


def hold(agenda: Agenda, why: Why) -> None:
    until = datetime.now(UTC) + HOUR
    agenda.hold(Hold(client_id="default", session_id=SESSION, until=until, reason=None, why=why))


def test_a_phone_that_is_back_speaks_at_once_and_one_message_first(agenda: Agenda) -> None:
    hold(agenda, Why.AWAY)
    assert not agenda.wishes()
    agenda.back(SESSION)
    assert [(claim.session_id, claim.limit) for claim in agenda.wishes()] == [(SESSION, 1)]


@pytest.mark.parametrize("why", [Why.THROTTLED, Why.PAUSED])
@pytest.mark.parametrize("was_away", [False, True])
def test_what_whatsapp_forbids_is_not_allowed_by_a_connection(agenda: Agenda, why: Why, *, was_away: bool) -> None:
    if was_away:
        hold(agenda, Why.AWAY)
    hold(agenda, why)
    agenda.back(SESSION)
    assert not agenda.wishes()


def test_a_phone_that_was_not_away_has_nothing_new_to_say(agenda: Agenda) -> None:
    agenda.learn([])
    agenda.back(SESSION)
    assert not agenda.wishes()
    assert agenda.next_at() is None
