"""The page's sessions: whoever had a token has one, for 12 hours, or until the token is revoked."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from mdsvc.access.sessions import SECONDS, session_bearer, set_cookie, start_session
from mdsvc.bearer import issue

NOW = 1_700_000_000
ISSUED, ALICE = issue("alice", False, NOW)
_, BOB = issue("bob", True, NOW)
BEARERS = (BOB, ALICE)


def session() -> str:
    value = start_session(f" {ISSUED.token}\n", BEARERS, NOW)
    assert value
    return value


def test_a_session_is_its_tokens() -> None:
    assert SECONDS == 12 * 3600
    for at in (NOW, NOW + SECONDS - 1):
        assert session_bearer(session(), BEARERS, at) == ALICE
    assert session_bearer(session(), BEARERS, NOW + SECONDS) is None


def test_it_is_good_on_a_server_whose_clock_is_a_little_behind_and_on_none_far_behind() -> None:
    assert session_bearer(session(), BEARERS, NOW - 60) == ALICE
    assert session_bearer(session(), BEARERS, NOW - 61) is None


def test_what_is_no_token_begins_none() -> None:
    for secret in ("", "x", ISSUED.token[:-1], ALICE.digest):
        assert start_session(secret, BEARERS, NOW) is None


def test_it_ends_with_its_token_and_another_of_the_name_is_another() -> None:
    assert session_bearer(session(), (BOB,), NOW) is None
    _, again = issue("alice", False, NOW)
    assert session_bearer(session(), (again,), NOW) is None


def forged() -> list[str]:
    name, until, signature = session().split(":")
    return [
        "",
        ":",
        "::",
        name,
        f"{name}:{until}",
        f"{name}:{until}:",
        f"bob:{until}:{signature}",
        f"{name}:{int(until) + 1}:{signature}",
        f"{name}:9{until}:{signature}",
        f"{name}: {until}:{signature}",
        f"{name}:{until}:{signature}x",
        f"{name}:{until}:{signature[:-1]}é",
        f"{name}:{until}:{ALICE.digest}",
        f"{name}:²:{signature}",
        ISSUED.token,
    ]


@pytest.mark.parametrize("value", forged(), ids=range(len(forged())))
def test_a_cookie_that_was_made_up_is_none(value: str) -> None:
    assert session_bearer(value, BEARERS, NOW) is None


def test_whoever_may_only_read_has_a_session_too() -> None:
    assert session_bearer(session(), (replace(ALICE, read_only=True),), NOW)


def test_no_script_and_no_other_site_gets_the_cookie() -> None:
    plain, secure = set_cookie("v", is_secure=False), set_cookie("v", is_secure=True)
    assert plain == "mdsvc_session=v; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict"
    assert secure == f"{plain}; Secure"
    assert "Max-Age=0" in set_cookie("", is_secure=False)
