"""Says in our words what an S3 service, or the way there, answers instead of doing."""

import re
from html import unescape

from passerelle.media.model import FileRefused, NoSuchCopy, StoreAway, StoreMisconfigured, StoreName
from passerelle.redaction import Redactor

Fault = StoreAway | FileRefused | StoreMisconfigured | NoSuchCopy
LONGEST_REASON = 300
# obstore tells what was answered only inside its text (0.12).
STATUS = re.compile(r"non-2xx status code: (\d{3})")
CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,80})</Code>")
MESSAGE = re.compile(r"<Message>(.{1,200}?)</Message>", re.DOTALL)
INSIDE = re.compile(r"\bkind: (Connect|Timeout|Request|Interrupted|Decode|Unknown)\b")
REDIRECT = "incorrectly configured region"

_MISCONFIGURED = frozenset(
    {
        *("AccessDenied", "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed", "ExpiredToken"),
        *("IllegalLocationConstraintException", "InvalidAccessKeyId", "InvalidBucketName", "InvalidSecurity"),
        *("InvalidToken", "NoSuchBucket", "NotSignedUp", "PermanentRedirect", "QuotaExceeded", "RequestTimeTooSkewed"),
        *("SignatureDoesNotMatch", "UnauthorizedAccess", "XAmzContentSHA256Mismatch"),
    }
)
_REFUSED = frozenset({"EntityTooLarge", "EntityTooSmall", "InvalidArgument", "KeyTooLongError", "MetadataTooLarge"})
_AWAY = frozenset({"IncompleteBody", "InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"})
_BY_STATUS: dict[int, type[StoreAway | FileRefused | StoreMisconfigured]] = {
    400: FileRefused,
    401: StoreMisconfigured,
    402: StoreMisconfigured,
    403: StoreMisconfigured,
    404: StoreMisconfigured,
    411: FileRefused,
    413: FileRefused,
    415: FileRefused,
}


def fault_of(error: Exception, redactor: Redactor, *, of_file: bool = False) -> Fault:
    """What `error` of obstore means; `of_file`: a file was sent, so that it may be the file that is refused."""
    told = str(error)
    code = next(iter(CODE.findall(told)), "")
    is_missing = isinstance(error, FileNotFoundError) and code != "NoSuchBucket"
    if is_missing and not of_file:
        return NoSuchCopy()
    # Of an upload in parts whose last answer got lost obstore tells only that there was nothing to give up (measured).
    kind = StoreAway if is_missing else _kind(told, code)
    if kind is FileRefused and not of_file:
        kind = StoreAway
    return kind(StoreName.S3, redactor.redact(_reason(told, code)))


def is_code(error: Exception, *codes: str) -> bool:
    """Whether the service said one of `codes`."""
    return any(code in codes for code in CODE.findall(str(error)))


def _kind(told: str, code: str) -> type[StoreAway | FileRefused | StoreMisconfigured]:
    for codes, kind in ((_MISCONFIGURED, StoreMisconfigured), (_REFUSED, FileRefused), (_AWAY, StoreAway)):
        if code in codes:
            return kind
    if REDIRECT in told:
        return StoreMisconfigured
    status = STATUS.search(told)
    return _BY_STATUS.get(int(status[1]), StoreAway) if status else StoreAway


def _reason(told: str, code: str) -> str:
    status, message, inside = STATUS.search(told), MESSAGE.search(told), INSIDE.search(told)
    if status:
        words = [f"HTTP {status[1]}", code, unescape(message[1]) if message else ""]
        return ": ".join(word for word in words if word)[:LONGEST_REASON]
    if REDIRECT in told:
        return "it sends us elsewhere: the region or the address is another one"
    return f"no answer ({inside[1].lower()})" if inside else told.partition("\n")[0][:LONGEST_REASON]
