"""Every message says in words what was expected: no field of any form is left to a library's."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from mdsvc import instance, layout, topology
from mdsvc.errors import BadInput
from mdsvc.forms import Form, from_builtins, from_store
from mdsvc.forms.words import expected
from mdsvc.names import Label
from mdsvc.placing import what_if
from mdsvc.policy import flavor
from tests.strategies import mutation
from tests.test_forms import VALID

assert all((instance, layout, topology, what_if, flavor)), "their forms are looked at"


def forms(of: type[Form] = Form) -> Iterator[type[Form]]:
    for form in of.__subclasses__():
        yield form
        yield from forms(form)


def kinds(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The type and those in it, but not those of another form's fields."""
    yield kind
    match kind:
        case inspect.Metadata():
            yield from kinds(kind.type)
        case inspect.UnionType():
            for each in kind.types:
                yield from kinds(each)
        case inspect.VarTupleType() | inspect.ListType():
            yield from kinds(kind.item_type)
        case inspect.DictType():
            yield from kinds(kind.key_type)
            yield from kinds(kind.value_type)
        case _:
            pass  # there is none in it


FIELDS = {
    f"{form.__name__}.{field.name}": field.type
    for form in forms()
    if form.__module__.startswith("mdsvc")
    for field in inspect.type_info(form).fields  # type: ignore[attr-defined]  # a struct's
}


def test_there_are_forms_to_look_at() -> None:
    assert {"Instance.name", "Nic.mac", "Host.name", "Flavor.vcpus", "KeyPair.name"} <= {*FIELDS}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_has_words_for_all_that_is_expected_of_it(field: str) -> None:
    for kind in kinds(FIELDS[field]):
        assert expected(kind)
        if isinstance(kind, inspect.StrType):
            limits = (kind.pattern, kind.min_length, kind.max_length)
            assert limits == (None, None, None), "text is limited by a rule, which has words"
        if isinstance(kind, inspect.IntType) and kind.le is not None:
            assert str(kind.le) in expected(kind)


def told(document: Any, kind: type[Any]) -> str:
    """What is said of the document; nothing where it is a value."""
    try:
        from_builtins(document, kind)
    except BadInput as error:
        return str(error)
    return ""


THEIRS = ("regex", "Expected `", "[...]", "Invalid value", "Invalid enum", "Traceback", "pattern")


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seed", range(4))
def test_no_message_is_a_library_s(kind: type[Any], seed: int) -> None:
    random = Random(seed)
    for _ in range(300):
        message = told(mutation(VALID[kind], random), kind)
        assert not any(word in message for word in THEIRS), message


class Inner(Form, frozen=True, tag_field="type", tag="inner"):
    number: int = 0


class Other(Form, frozen=True, tag_field="type", tag="other"):
    text: str = ""


class Outer(Form, frozen=True):
    by_name: dict[str, dict[str, Inner | Other | None]] = {}
    lists: tuple[tuple[Label, ...], ...] = ()
    numbers: dict[int, float | None] = {}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"by_name": {"a": {}, "b": {"x": None, "y y": {"type": "inner", "number": "1"}}}},
            "by_name.b.y y.number: expected a whole number, got the text '1'",
        ),
        ({"by_name": {"b": {"c": {"type": "other", "text": 1}}}}, "by_name.b.c.text: expected te"),
        (
            {"by_name": {"b": {"c": {"type": "third"}}}},
            "by_name.b.c.type: expected one of inn",
        ),
        ({"by_name": {"b": {"c": 5}}}, "by_name.b.c: expected an object, got a number"),
        ({"by_name": {"b": []}}, "by_name.b: expected an object, got a list"),
        ({"by_name": {"b": {"c": {}}}}, "by_name.b.c.type: required, but missing"),
        ({"lists": [["a"], ["b", 3]]}, "lists[1][1]: expected text of 1 to 255"),
        ({"lists": [["a"], ["b", "\n"]]}, "lists[1][1]: expected text of 1 to 255"),
        ({"lists": [["a"], "b"]}, "lists[1]: expected a list, got text"),
        ({"numbers": {"1": 1.5, "2": "x"}}, "numbers.2: expected a number, got the text 'x'"),
        ({"numbers": {"1": 1.5, "x": 2.0}}, "numbers: each key: expected a whole number"),
    ],
)
def test_a_fault_is_named_however_deep_it_is(document: Any, message: str) -> None:
    with pytest.raises(BadInput) as error:
        from_builtins(document, Outer)
    assert str(error.value).startswith(message)


def test_what_was_stored_is_read_by_its_types_alone() -> None:
    old = {"lists": [["a\n", "", "x" * 300]]}
    assert from_store(old, Outer).lists == (("a\n", "", "x" * 300),)
    with pytest.raises(BadInput):
        from_store({"lists": [[5]]}, Outer)


def test_a_rule_is_said_in_the_schema_too() -> None:
    schema = msgspec.json.schema(instance.Address)
    mac = schema["$defs"]["Address"]["properties"]["mac"]["anyOf"][0]
    assert mac["description"] == "a MAC address like fa:16:3e:aa:bb:cc"
    assert mac["pattern"].startswith("^(?:[0-9A-Fa-f]")
