"""JSON forms: a document is a value, or one BadInput that names the field; nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.errors import BadInput
from mdsvc.forms import MAX_DEPTH, from_builtins, from_json, to_builtins, to_json
from mdsvc.instance import Instance
from mdsvc.layout import Layout, fit
from mdsvc.placing.what_if import Question
from mdsvc.policy.flavor import Flavor, Image, Request
from mdsvc.topology import Host
from tests.reference.facts import Json
from tests.strategies import (
    INSTANCE,
    QUICK,
    THOROUGH,
    asked,
    grid,
    host_of,
    json_values,
    mutated,
    nested,
)

REQUEST = asked({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-3", "hw:numa_nodes": 2})
VALID: dict[type[Any], Json] = {
    Host: grid(2, 8, threads=2, shared=2),
    Flavor: INSTANCE["flavor"],
    Image: INSTANCE["image"],
    Instance: INSTANCE,
    Request: to_builtins(REQUEST),
    Layout: to_builtins(fit(host_of(grid(2, 8, threads=2, shared=2)), REQUEST)),
    Question: {"host": grid(1, 4), "flavor": INSTANCE["flavor"], "image": INSTANCE["image"]},
}
KINDS = pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)


def check(read: Any, document: Any, kind: type[Any]) -> None:
    """A value, which its own JSON gives again, or BadInput in one line."""
    try:
        value = read(document, kind)
    except BadInput as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 800
        return
    assert from_json(to_json(value), kind) == value
    assert from_builtins(to_builtins(value), kind) == value


@KINDS
def test_a_valid_document_is_read_and_written_again(kind: type[Any]) -> None:
    value = from_json(json.dumps(VALID[kind]), kind)
    assert from_json(to_json(value), kind) == value == from_builtins(VALID[kind], kind)
    assert json.loads(to_json(value)) == json.loads(json.dumps(to_builtins(value)))
    assert b"\n" not in to_json(value)


@KINDS
@given(document=json_values())
@QUICK
def test_any_document_is_a_value_or_bad_input(kind: type[Any], document: Any) -> None:
    check(from_builtins, document, kind)
    check(from_json, json.dumps(document), kind)


@KINDS
@given(data=st.data())
@QUICK
def test_any_change_of_a_valid_document_is_a_value_or_bad_input(
    kind: type[Any], data: st.DataObject
) -> None:
    document = data.draw(mutated(VALID[kind]))
    check(from_builtins, document, kind)
    check(from_json, json.dumps(document), kind)


@THOROUGH
@given(st.one_of(st.binary(max_size=40), st.text(max_size=40)))
def test_any_bytes_are_a_value_or_bad_input(text: bytes | str) -> None:
    check(from_json, text, Flavor)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nul",
        "{",
        "[1,]",
        "{'vcpus': 1}",
        '{"vcpus": 1} x',
        '{"vcpus": NaN}',
        '{"vcpus": Infinity}',
        '{"vcpus": 1e400}',
        '{"vcpus": 01}',
        '{"name": "\\ud800"}',
        '{"name": "\ud800"}',
        "\ufeff{}",
        b'{"name": "\xff"}',
        '{"vcpus": %s}' % ("9" * 5000),
    ],
)
def test_what_is_no_json_says_so(text: bytes | str) -> None:
    with pytest.raises(BadInput, match=r"^this is no JSON document: "):
        from_json(text, Flavor)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1000, 100_000])
@pytest.mark.parametrize("kind", ["[]", "{}"])
def test_deep_nesting_is_bad_input(depth: int, kind: str) -> None:
    with pytest.raises(BadInput, match=f"nested deeper than {MAX_DEPTH} levels"):
        from_json(nested(depth, kind), Instance)
    inner = f'{{"network_data": {nested(depth, "{}")}}}'
    with pytest.raises(BadInput, match=f"nested deeper than {MAX_DEPTH} levels"):
        from_json(inner, Instance)


def test_a_list_within_itself_is_bad_input() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(BadInput, match="nested deeper"):
        from_builtins(loop, Flavor)


def texts_of(kind: type[Any]) -> list[tuple[Any, ...]]:
    return [path for path in _paths(VALID[kind]) if isinstance(_at(VALID[kind], path), str)]


def _paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if not isinstance(document, dict | list):
        return [path]
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    return [path, *(p for key in keys for p in _paths(document[key], (*path, key)))]


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@KINDS
@pytest.mark.parametrize(("odd", "named"), [("\0", "NUL"), ("\udc80", "lone surrogates")])
def test_no_text_anywhere_holds_what_no_store_could(kind: type[Any], odd: str, named: str) -> None:
    for path in texts_of(kind):
        document = copy.deepcopy(VALID[kind])
        *before, last = path
        _at(document, tuple(before))[last] = f"a{odd}"
        with pytest.raises(BadInput) as error:
            from_builtins(document, kind)
        field = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
        assert str(error.value) == f"{field[1:]}: expected text without {named}" + (
            " characters" if named == "NUL" else ""
        )


@KINDS
def test_no_key_anywhere_holds_nul_either(kind: type[Any]) -> None:
    for path in _paths(VALID[kind]):
        document = copy.deepcopy(VALID[kind])
        place = _at(document, path)
        if isinstance(place, dict):
            place["a\0b"] = 1
            with pytest.raises(BadInput, match=r"a key of .*: expected text without NUL"):
                from_builtins(document, kind)


@KINDS
def test_an_unknown_key_is_named_wherever_it_stands(kind: type[Any]) -> None:
    free = {"extra_specs", "properties", "meta", "network_data", "cpu_pinning"}
    for path in _paths(VALID[kind]):
        document = copy.deepcopy(VALID[kind])
        place = _at(document, path)
        if isinstance(place, dict) and not free & set(path):
            place["unheard_of"] = 1
            with pytest.raises(BadInput, match=r"unheard_of: no such field is known here$"):
                from_builtins(document, kind)


@pytest.mark.parametrize("key", ["a`b", "a\nb", "$.a`", "x" * 5000, "", "é"])
def test_odd_keys_are_named_in_one_short_line(key: str) -> None:
    with pytest.raises(BadInput, match=r": no such field is known here$") as error:
        from_builtins({**VALID[Flavor], key: 1}, Flavor)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


def test_keys_that_are_no_texts_are_bad_input() -> None:
    for key in (1, None, b"x", (1,)):
        with pytest.raises(BadInput):
            from_builtins({key: 1}, Flavor)


@pytest.mark.parametrize(
    ("document", "kind", "message"),
    [
        ({**VALID[Host], "packing": "x" * 5000}, Host, "packing: expected one of pack, spread"),
        (
            {**INSTANCE, "devices": [{"type": "gpu"}]},
            Instance,
            "devices[0].type: expected one of nic, disk, share",
        ),
        ({**INSTANCE, "version_list": ""}, Instance, "version_list: expected one of newest, nova"),
        (
            {**INSTANCE, "meta": {"": "x"}},
            Instance,
            "meta: each key: expected text of 1 to 255 characters "
            "without control characters or line ends, got ''",
        ),
        ([], Flavor, "document: expected an object, got a list"),
    ],
)
def test_a_message_says_what_was_expected(document: Any, kind: type[Any], message: str) -> None:
    with pytest.raises(BadInput) as error:
        from_builtins(document, kind)
    assert str(error.value) == message
