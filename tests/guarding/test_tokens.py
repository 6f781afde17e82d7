"""Session tokens: good for the guest that was given one, until it is over, under a known key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from mdsvc.errors import BadInput, Forbidden, NoToken
from mdsvc.guarding import Buckets, Guard, Keys
from mdsvc.guarding.tokens import (
    LONGEST_TTL,
    TOKEN_HEADERS,
    TTL_HEADERS,
    check_token,
    is_token_of,
    read_keys,
    token_of,
    ttl_of,
)
from mdsvc.instance import TokenMode

A, B = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52", "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f53"
KEYS = Keys([b"one"])
NOW = 1_700_000_000


@given(st.integers(1, LONGEST_TTL), st.integers(0, 2 * LONGEST_TTL))
def test_a_token_is_good_until_it_is_over(ttl: int, later: int) -> None:
    token = token_of(KEYS, A, NOW + ttl)
    assert is_token_of(KEYS, A, token, NOW + later) == (later < ttl)


def test_a_token_is_that_of_one_guest_alone() -> None:
    assert not is_token_of(KEYS, B, token_of(KEYS, A, NOW + 60), NOW)


@given(st.data())
def test_a_token_in_which_anything_is_changed_is_none(data: st.DataObject) -> None:
    token = token_of(KEYS, A, NOW + 60)
    at = data.draw(st.integers(0, len(token) - 2))  # the last one has bits that say nothing
    other = data.draw(st.characters(max_codepoint=300).filter(lambda c: c != token[at]))
    assert not is_token_of(KEYS, A, token[:at] + other + token[at + 1 :], NOW)


@given(st.text(max_size=200))
def test_no_text_that_was_not_given_is_a_token(text: str) -> None:
    assert not is_token_of(KEYS, A, text, NOW)


def test_a_new_key_comes_in_before_the_old_one_goes() -> None:
    old = token_of(Keys([b"old"]), A, NOW + 60)
    both = Keys([b"new", b"old"])
    assert is_token_of(both, A, old, NOW)
    assert is_token_of(Keys([b"old", b"new"]), A, token_of(both, A, NOW + 60), NOW)
    assert not is_token_of(Keys([b"new"]), A, old, NOW)


def test_a_token_is_good_for_no_longer_than_any_can_be() -> None:
    assert not is_token_of(KEYS, A, token_of(KEYS, A, NOW + 10 * LONGEST_TTL), NOW)


@pytest.mark.parametrize("header", TOKEN_HEADERS)
@pytest.mark.parametrize("mode", ["optional", "required"])
def test_either_header_has_the_token(mode: TokenMode, header: str) -> None:
    check_token(mode, KEYS, CIMultiDict({header: token_of(KEYS, A, NOW + 60)}), A, NOW)


def test_without_a_token_it_depends_on_the_mode() -> None:
    check_token("off", KEYS, CIMultiDict(), A, NOW)
    check_token("optional", KEYS, CIMultiDict(), A, NOW)
    with pytest.raises(NoToken):
        check_token("required", KEYS, CIMultiDict(), A, NOW)


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_a_token_that_is_brought_must_be_good(mode: TokenMode) -> None:
    for token in (token_of(KEYS, B, NOW + 60), token_of(KEYS, A, NOW), "", "x"):
        with pytest.raises(NoToken):
            check_token(mode, KEYS, CIMultiDict({TOKEN_HEADERS[0]: token}), A, NOW)


def test_two_tokens_are_none() -> None:
    headers = CIMultiDict([(TOKEN_HEADERS[0], token_of(KEYS, A, NOW + n)) for n in (60, 61)])
    with pytest.raises(NoToken):
        check_token("optional", KEYS, headers, A, NOW)


@pytest.mark.parametrize("text", ["1", "21600", " 60 "])
def test_a_time_is_from_one_second_to_six_hours(text: str) -> None:
    for header in TTL_HEADERS:
        assert ttl_of(CIMultiDict({header: text}), None) == int(text)


@pytest.mark.parametrize("text", ["0", "21601", "-1", "", "1.5", "x", "٣", "9" * 5000])
def test_any_other_time_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match="from 1 to 21600"):
        ttl_of(CIMultiDict({TTL_HEADERS[0]: text}), None)


def guard(*, proxied: bool) -> Guard:
    return Guard(proxied, "optional", KEYS, Buckets(0, 1), clock=lambda: NOW)


def test_behind_a_proxy_no_time_need_be_said() -> None:
    token, seconds = guard(proxied=True).issue(CIMultiDict(), A)
    assert seconds == LONGEST_TTL
    assert is_token_of(KEYS, A, token, NOW + LONGEST_TTL - 1)
    with pytest.raises(BadInput):
        guard(proxied=False).issue(CIMultiDict(), A)


def test_a_direct_request_that_was_forwarded_gets_no_token() -> None:
    headers = CIMultiDict({TTL_HEADERS[0]: "60", "x-forwarded-for": "10.0.0.1"})
    assert guard(proxied=True).issue(headers, A)
    with pytest.raises(Forbidden):
        guard(proxied=False).issue(headers, A)


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# new\n" + "n" * 16 + "\n\n" + "o" * 16 + "\n")
    keys = read_keys(file)
    assert is_token_of(keys, A, token_of(Keys([b"o" * 16]), A, NOW + 9), NOW)
    assert is_token_of(Keys([b"n" * 16]), A, token_of(keys, A, NOW + 9), NOW)


@pytest.mark.parametrize("text", ["", "# none\n", "short\n"])
def test_a_file_without_good_secrets_is_bad_input(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(BadInput, match="token_key_file"):
        read_keys(file)


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="token_key_file"):
        read_keys(tmp_path / "keys")
