"""Look-ups of extra specs and image properties: each names the key when it is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.cpuset import CpuSet
from mdsvc.errors import InvalidRequest
from mdsvc.policy import extra_specs as read
from tests.strategies import QUICK

FOUR = CpuSet.first(4)
TEXTS = st.one_of(
    st.text(max_size=6),
    st.text("0123456789,-^", max_size=6),
    st.sampled_from(["yes", "on", "9" * 40]),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (True, "true"), (False, "false"), ("True", "True"), (10**30, "1" + "0" * 30)],
)
def test_values_become_the_text_that_nova_would_store(value: read.Spec, text: str) -> None:
    assert read.texts({"k": value}) == {"k": text}


def test_a_choice_is_one_of_the_words_or_absent() -> None:
    assert read.choice({"k": "a"}, "k", ("a", "b")) == "a"
    assert read.choice({}, "k", ("a", "b")) is None
    with pytest.raises(InvalidRequest, match=r"^k='A': expected one of a, b$"):
        read.choice({"k": "A"}, "k", ("a", "b"))


@pytest.mark.parametrize("text", ["1", "t", "true", "on", "y", "yes", "TRUE", " Yes "])
def test_truth_has_many_spellings(text: str) -> None:
    assert read.truth({"k": text}, "k")


@pytest.mark.parametrize("text", ["0", "f", "false", "off", "n", "no", "False", "NO"])
def test_and_so_has_its_opposite(text: str) -> None:
    assert not read.truth({"k": text}, "k")
    assert not read.truth({}, "k")


@pytest.mark.parametrize(("text", "minimum"), [("0", 0), ("007", 1), ("9" * 15, 1)])
def test_whole_numbers_are_plain_digits(text: str, minimum: int) -> None:
    assert read.integer({"k": text}, "k", minimum) == int(text)


@pytest.mark.parametrize(
    "text",
    ["", " 1", "+1", "-1", "1.0", "1e3", "0x1", "1_0", "٣", "²", "9" * 16, "9" * 5000, "1\n"],
)
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"(?s)^k='.*: expected a whole number, at least 0$"):
        read.integer({"k": text}, "k", 0)


@QUICK
@given(TEXTS)
def test_any_text_is_a_value_or_an_error_that_names_the_key(text: str) -> None:
    for look_up in (
        lambda: read.truth({"k": text}, "k"),
        lambda: read.integer({"k": text}, "k", 0),
        lambda: read.cpus({"k": text}, "k", FOUR),
        lambda: read.choice({"k": text}, "k", ("a",)),
    ):
        try:
            look_up()
        except InvalidRequest as error:
            assert str(error).startswith(f"k={text!r}"[:90])  # noqa: PT017  # some raise, some do not


@QUICK
@given(TEXTS)
def test_vcpus_are_never_none_and_never_beyond_the_flavors(text: str) -> None:
    try:
        found = read.cpus({"k": text}, "k", FOUR)
    except InvalidRequest:
        return
    assert found
    assert found <= FOUR


@pytest.mark.parametrize(
    ("specs", "props", "key"),
    [({}, {}, "hw:x"), ({"hw:x": "1"}, {}, "hw:x"), ({}, {"hw_x": "1"}, "hw_x")],
)
def test_a_key_stands_in_flavor_or_image(
    specs: dict[str, str], props: dict[str, str], key: str
) -> None:
    found, source = read.either(specs, props, "x")
    assert found == key
    assert source == (props if key == "hw_x" else specs)


def test_a_key_never_stands_in_both() -> None:
    with pytest.raises(
        InvalidRequest, match=r"^hw_x='2': expected nothing, as the flavor has hw:x"
    ):
        read.either({"hw:x": "1"}, {"hw_x": "2"}, "x")
    with pytest.raises(InvalidRequest, match=r"^hw_x.1='2': expected nothing, as the flavor has"):
        read.indexed({"hw:x.0": "1"}, {"hw_x.1": "2"}, "x")


def test_indexed_keys_are_read_by_their_numbers() -> None:
    specs = {"hw:x.0": "a", "hw:x.10": "b", "hw:x": "c", "hw:x.y": "d", "hw:xx.1": "e"}
    assert read.indexed(specs, {}, "x") == ({0: "hw:x.0", 10: "hw:x.10"}, specs)


@pytest.mark.parametrize(
    "key", ["hw:x.00", "hw:x.01", "hw:x.٣", "hw:x.-1", "hw:x.0 ", "hw:x.99999"]
)
def test_a_number_has_one_spelling_so_that_no_key_hides_another(key: str) -> None:
    assert read.indexed({key: "a"}, {}, "x")[0] == {}


@pytest.mark.parametrize("value", [None, 1.5, [], {}, b"x"])
def test_other_types_are_refused_by_name(value: object) -> None:
    with pytest.raises(
        ValueError, match=r"^field\.k: expected text, a whole number, true or false$"
    ):
        read.check({"k": value}, "field")
