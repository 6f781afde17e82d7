"""What comes from elsewhere is a layout, or one clear message that says from where."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput
from mdguest.sources.documents import dedicated_of, json_object, plain_text

HERE = "http://here/layout"


def read(data: bytes) -> CpuSet | None:
    return dedicated_of(json_object(data, HERE), HERE)


SAID = {
    '{"dedicated_cpus": "2-3,5"}': "2-3,5",
    '{"dedicated_cpus": [5, 2, 3]}': "2-3,5",
    '{"dedicated_cpus": ""}': "",
    '{"dedicated_cpus": []}': "",
    ' {"uuid": "ü", "dedicated_cpus": [8191], "x": 1.5e400} ': "8191",
}


@pytest.mark.parametrize(("text", "cpus"), SAID.items())
def test_either_form_is_understood(text: str, cpus: str) -> None:
    assert read(text.encode()) == CpuSet.parse(cpus)


@pytest.mark.parametrize("text", ["{}", '{"uuid": 1}', '{"cpus": {"dedicated_cpus": "1"}}'])
def test_a_document_without_the_key_says_nothing(text: str) -> None:
    assert read(text.encode()) is None


GARBAGE = {
    "empty": (b"", "is no JSON"),
    "HTML": (b"<html>Log in</html>", "is no JSON"),
    "half": (b'{"dedicated_cpus": "2-', "is no JSON"),
    "two documents": (b"{}{}", "is no JSON"),
    "not UTF-8": (b'{"dedicated_cpus": "\xff"}', "not UTF-8"),
    "UTF-16": ('{"dedicated_cpus": "2"}'.encode("utf-16"), "not UTF-8"),
    "a list": (b"[2, 3]", "got a list"),
    "a string": (b'"2-3"', "got a string"),
    "a number": (b"2", "got a number"),
    "null": (b"null", "got null"),
    "a boolean": (b"true", "got a boolean"),
    "NaN": (b'{"x": NaN}', "NaN is no number"),
    "infinity": (b'{"x": [-Infinity]}', "-Infinity is no number"),
    "a huge number": (b'{"x": ' + b"9" * 100_000 + b"}", "a number of 100000 digits"),
    "deep lists": (b'{"x": ' + b"[" * 200_000, "nested too deeply"),
    "deep objects": (b'{"x": ' * 100_000, "nested too deeply"),
    "a key twice": (b'{"dedicated_cpus": "2", "dedicated_cpus": ""}', "stands twice"),
    "a key twice, below": (b'{"x": {"\\u001b": 1, "\\u001b": 2}}', r"'\x1b' stands twice"),
}


@pytest.mark.parametrize(("data", "why"), GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_document_is_one_clear_message(data: bytes, why: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(data)
    message = str(caught.value)
    assert message.startswith(f'{HERE}: expected a JSON object with "dedicated_cpus", got ')
    assert why in message
    assert "\n" not in message


VALUES: dict[str, object] = {
    "null": None,
    "a boolean": True,
    "a number": 2,
    "an object": {"2": 3},
    "booleans": [True, False],
    "fractions": [2.0],
    "strings": ["2", "3"],
    "lists": [[2], [3]],
    "negative": [-1],
    "over the limit": [8192],
    "far over the limit": [10**19],
    "a list over the limit": "0-8192",
    "no list": "two",
    "a backwards range": "3-2",
    "a mask": "0xff",
    "an exclusion": "^2",
    "other digits": "٢",
    "surrogates": "\ud800",
    "a line too many": "2\n3",
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_what_is_no_cpu_list_is_one_clear_message(value: object) -> None:
    with pytest.raises(BadInput) as caught:
        read(json.dumps({"dedicated_cpus": value}).encode())
    message = str(caught.value)
    assert message.startswith(f"{HERE}: dedicated_cpus is neither a CPU list")
    assert isinstance(value, (str, list)) or message.endswith(json.dumps(value))
    assert message.isprintable()
    assert len(message) < 300


def test_a_value_that_is_as_deep_as_can_be_read_is_one_clear_message() -> None:
    for depth in range(1, sys.getrecursionlimit() + 200, 7):
        with pytest.raises(BadInput):
            read(b'{"dedicated_cpus": ' + b"[" * depth + b"]" * depth + b"}" + b"x" * (depth == 1))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(), some, max_size=4),
)


@given(ANYTHING)
@settings(deadline=None)
def test_whatever_the_value_it_is_a_set_or_bad_input(value: Any) -> None:
    with contextlib.suppress(BadInput):
        found = read(json.dumps({"dedicated_cpus": value}).encode())
        assert isinstance(found, CpuSet)


@given(st.binary() | st.text().map(str.encode))
@settings(deadline=None)
def test_whatever_the_bytes_they_are_a_layout_or_bad_input(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        assert isinstance(read(data), (CpuSet, type(None)))
    with contextlib.suppress(BadInput):
        assert isinstance(plain_text(data, HERE), str)
