"""The page's sessions: a cookie that says which token its owner logged in with, and until when.

The cookie is signed with what is kept of that token, so nothing of a session is kept: every process
that serves the page knows it, and it ends with its token. The API takes no cookies, and the page
changes nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from mdsvc.bearer import Bearer, bearer_of

COOKIE = "mdsvc_session"
SECONDS = 12 * 3600

_SKEW = 60
"""Seconds that the clocks of servers may be apart: another one may have begun a session."""


def start_session(secret: str, bearers: Iterable[Bearer], now: int) -> str | None:
    """The cookie's value for whoever has this token; None where it is no token."""
    bearer = bearer_of(secret.strip(), bearers)
    return _value(bearer, now + SECONDS) if bearer else None


def session_bearer(value: str, bearers: Iterable[Bearer], now: int) -> Bearer | None:
    """The token that a cookie's owner logged in with; None where it is none, no more, or over."""
    name, until = [*value.split(":"), "", ""][:2]
    bearer = next((each for each in bearers if each.name == name), None)
    if bearer is None or not (until.isascii() and until.isdigit() and len(until) < 12):
        return None
    if not now < int(until) <= now + SECONDS + _SKEW:
        return None
    is_signed = hmac.compare_digest(
        _value(bearer, int(until)).encode(), value.encode(errors="replace")
    )
    return bearer if is_signed else None


def set_cookie(value: str, is_secure: bool) -> str:
    """The ``Set-Cookie`` header that begins a session; with an empty value, one that ends it."""
    seconds = SECONDS if value else 0
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}"


def _value(bearer: Bearer, until: int) -> str:
    what = f"{bearer.name}:{until}"
    key = bytes.fromhex(bearer.digest)
    return f"{what}:{hmac.new(key, f'mdsvc page {what}'.encode(), 'sha256').hexdigest()}"
