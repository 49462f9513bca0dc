"""Every error string of whatsmeow's that we know, and what it means; the strings are theirs, letter by letter."""

import pytest

from passerelle.errors import PasserelleError
from passerelle.whatsapp.adapters.multidevice.answers import (
    download_fault,
    masked,
    pairing_fault,
    sending_fault,
    upload_fault,
)
from passerelle.whatsapp.adapters.multidevice.members import fault_members, read_fault
from passerelle.whatsapp.faults import (
    InvalidPhone,
    MediumGone,
    PasskeyRequired,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderUnavailable,
)
from passerelle.whatsapp.sending import AnswerLost, DeviceGone, NotHandedOver, PhoneOffline, Remedy, SendRefused

PAIRING = [
    ("client is nil: ensure client is connected before calling PairPhone", ProviderUnavailable),
    ("websocket not connected", ProviderUnavailable),
    ("info query timed out", ProviderUnavailable),
    ("websocket disconnected before info query returned response", ProviderUnavailable),
    ("international phone number required (must not start with 0)", InvalidPhone),
    ("phone number too short", InvalidPhone),
    ("info query returned status 400: bad-request", ProviderMisconfigured),
    ("info query returned status 401: not-authorized", ProviderUnavailable),
    ("info query returned status 403: forbidden", ProviderUnavailable),
    ("info query returned status 404: item-not-found", InvalidPhone),
    ("info query returned status 405: not-allowed", ProviderUnavailable),
    ("info query returned status 419: resource-limit", ProviderRateLimited),
    ("info query returned status 429: rate-overlimit", ProviderRateLimited),
    ("info query returned status 500: internal-server-error", ProviderUnavailable),
    ("info query returned status 503: service-unavailable", ProviderUnavailable),
    ("missing <link_code_pairing_ref> element in code link registration response", ProviderUnavailable),
    ("missing <link_code_pairing_wrapped_primary_ephemeral_pub> element in notification", PasskeyRequired),
    ("failed to dial whatsapp web websocket: connection refused", ProviderUnavailable),
    ("something nobody has seen", ProviderUnavailable),
]
SENDING = [
    ("server returned error 463", "463", Remedy.PAUSE_ACCOUNT),
    ("server returned error 479", "479", Remedy.RETRY),
    ("server returned error 429", "429", Remedy.THROTTLE_NUMBER),
    ("server returned error 400", "400", Remedy.PERMANENT),
    ("server returned error 500", "500", Remedy.RETRY),
    ("info query returned status 429: rate-overlimit", "429", Remedy.THROTTLE_NUMBER),
    ("no LID found for 33639980002@s.whatsapp.net from server", "not_on_whatsapp", Remedy.PERMANENT),
    ("message recipient must be a user JID with no device part", "bad_recipient", Remedy.PERMANENT),
    ("can't send message to unknown server x", "bad_recipient", Remedy.PERMANENT),
    ("sending to non-status broadcast lists is not yet supported", "bad_recipient", Remedy.PERMANENT),
    ("something about 33639980002", "something about …", Remedy.RETRY),
]
SENDING_LEAVES = [
    ("failed to send usync query: websocket not connected", PhoneOffline),
    ("client is nil", PhoneOffline),
    ("the store doesn't contain a device JID", DeviceGone),
    ("failed to get device list: info query timed out", NotHandedOver),
    ("failed to get device list: websocket disconnected before info query returned response", NotHandedOver),
    ("info query returned status 503: service-unavailable", NotHandedOver),
    ("timed out waiting for message send response", AnswerLost),
    ("websocket disconnected before message send returned response", AnswerLost),
]


@pytest.mark.parametrize(("error", "leaf"), PAIRING)
def test_what_an_error_means_to_who_waits_for_a_code(error: str, leaf: type[PasserelleError]) -> None:
    assert type(pairing_fault(error)) is leaf


def test_a_rate_limit_says_how_long_to_wait() -> None:
    wait = pairing_fault("info query returned status 429: rate-overlimit").retry_after
    assert wait is not None
    assert wait.total_seconds() == 900


def test_an_outdated_library_is_named() -> None:
    assert pairing_fault("info query returned status 405: not-allowed").members == {"reason": "client_outdated"}


@pytest.mark.parametrize(("error", "reason", "remedy"), SENDING)
def test_what_a_refused_message_needs(error: str, reason: str, remedy: Remedy) -> None:
    fault = sending_fault(error)
    assert isinstance(fault, SendRefused)
    assert (fault.reason, fault.remedy) == (reason, remedy)


@pytest.mark.parametrize(("error", "leaf"), SENDING_LEAVES)
def test_whether_a_message_was_handed_over(error: str, leaf: type[PasserelleError]) -> None:
    assert type(sending_fault(error)) is leaf


@pytest.mark.parametrize(
    ("error", "leaf"),
    [
        ("failed to refresh media connections: websocket not connected", PhoneOffline),
        ("failed to execute request: dial tcp: i/o timeout", NotHandedOver),
        ("upload failed with status code 503", NotHandedOver),
        ("upload failed with status code 413", SendRefused),
    ],
)
def test_what_a_failed_upload_means(error: str, leaf: type[PasserelleError]) -> None:
    assert type(upload_fault(error)) is leaf


@pytest.mark.parametrize(
    ("error", "leaf"),
    [
        ("download failed with status code 403", MediumGone),
        ("download failed with status code 404", MediumGone),
        ("download failed with status code 410", MediumGone),
        ("download failed with status code 500", ProviderUnavailable),
        ("hash of media plaintext doesn't match", MediumGone),
        ("failed to refresh media connections: websocket not connected", PhoneOffline),
    ],
)
def test_what_a_failed_download_means(error: str, leaf: type[PasserelleError]) -> None:
    assert type(download_fault(error)) is leaf


def test_no_number_of_anybody_gets_into_a_reason() -> None:
    assert "33639980001" not in masked("to 33639980001:7@s.whatsapp.net failed")
    assert len(masked("x" * 1000)) == 200


@pytest.mark.parametrize("error", [line[0] for line in PAIRING])
def test_a_fault_crosses_the_line_whole(error: str) -> None:
    fault = pairing_fault(error)
    again = read_fault(fault_members(fault))
    assert (type(again), again.retry_after, again.members) == (type(fault), fault.retry_after, fault.members)
