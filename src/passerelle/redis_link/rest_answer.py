"""Reads the answers of the REST interface: JSON whose strings are base64."""

import base64
import json
from typing import Any, NamedTuple

from passerelle.redaction import Redactor
from passerelle.redis_link.away import Faulted
from passerelle.redis_link.catalogue import RedisFault, known_fault
from passerelle.redis_link.faults import classify
from passerelle.redis_link.rest_faults import fault_of_status, fault_of_words
from passerelle.redis_link.transport import Reply

# Upstash leaves this one as it is, others encode it too; encoded it would have a length of four.
PLAIN = "OK"
# This looks like base64, but of no text: whoever sends it does not encode at all.
UNCODED = "PONG"


class Answer(NamedTuple):
    """What came over HTTP."""

    status: int
    body: bytes


class NotEncoded(Exception):
    """A string came as it is, although base64 was asked for."""


def one_reply(answer: Answer, redactor: Redactor) -> Reply:
    """Redis' answer to one command.

    Raises:
        Faulted: Redis did not do it, or this is no answer of Redis.
    """
    outcome = _outcome(_json(answer), answer.status, redactor)
    if isinstance(outcome, RedisFault):
        raise Faulted(outcome)
    return outcome


def all_replies(answer: Answer, count: int, redactor: Redactor) -> list[Reply | RedisFault]:
    """Redis' answers to `count` commands; where one failed its fault stands in its place.

    Raises:
        Faulted: nothing was done at all, or this is no answer of Redis.
    """
    found = _json(answer)
    if isinstance(found, dict):  # a wrong token, a discarded transaction
        one_reply(answer, redactor)
    if not isinstance(found, list) or len(found) != count:
        raise Faulted(fault_of_status(answer.status))
    return [_outcome(each, answer.status, redactor) for each in found]


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise Faulted(fault_of_status(answer.status)) from None


def _outcome(found: Any, status: int, redactor: Redactor) -> Reply | RedisFault:
    if not isinstance(found, dict) or not found.keys() & {"error", "result"}:
        return fault_of_status(status)
    if found.get("error") is not None:
        return fault_of_words(str(found["error"]), status=status, redactor=redactor)
    try:
        return _decoded(found.get("result"))
    except RecursionError:
        return known_fault("REDIS_REST", "the answer is nested deeper than any of Redis")
    except NotEncoded:
        return known_fault("REDIS_REST", "the answer is not in base64, which was asked for")
    except UnicodeDecodeError as error:
        return classify(error, redactor)  # as over TCP


def _decoded(value: Any) -> Reply:
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if not isinstance(value, str) or value == PLAIN:
        return value
    if value == UNCODED:
        raise NotEncoded
    try:
        raw = base64.b64decode(value, validate=True)
    except ValueError:
        raise NotEncoded from None
    return raw.decode()
