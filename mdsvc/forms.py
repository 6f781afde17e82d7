"""JSON forms to frozen values and back, with one clear message when a form is wrong.

The forms are the values' own fields (``topology``, ``flavor``, ``instance``, ``layout``), read
strictly by msgspec: unknown keys, missing keys and wrong types are errors that name the field.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput

T = TypeVar("T")

MAX_DEPTH = 64


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every value that has a JSON form. Immutable; unknown keys are refused."""


def from_json(text: bytes | str, kind: type[T]) -> T:
    """Read one JSON document of the given kind. Raises BadInput."""
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadInput(f"this is no JSON document: {error}") from None
    except RecursionError:
        raise BadInput(f"this JSON document is nested deeper than {MAX_DEPTH} levels") from None
    return from_builtins(data, kind)


def from_builtins(data: Any, kind: type[T]) -> T:
    """Read one value from what a JSON or msgpack document decodes to. Raises BadInput."""
    check_plain(data)
    try:
        return msgspec.convert(data, kind, str_keys=True, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise BadInput(explain(str(error), kind)) from None


def to_builtins(value: object) -> Any:
    """The value as dicts, lists, strings and numbers: its JSON form."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_encode)


def to_json(value: object) -> bytes:
    """The value as one line of JSON in UTF-8."""
    return msgspec.json.encode(value, enc_hook=_encode)


def _decode(kind: type, value: Any) -> Any:
    if kind is not CpuSet:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError(f'Expected a CPU set string like "0-3,7", got `{type(value).__name__}`')
    return _cpu_set(value)


_cpu_set = lru_cache(maxsize=16384)(CpuSet.parse)
"""Sets are frozen, and all hosts of one model have the same: they share them."""


def _encode(value: Any) -> str:
    if isinstance(value, CpuSet):
        return str(value)
    raise NotImplementedError(type(value))


_SURROGATE = re.compile("[\ud800-\udfff]")


def check_plain(data: Any, path: str = "", depth: int = MAX_DEPTH) -> None:
    """Refuse what JSON in UTF-8, a database or a guest's shell cannot hold, and deep nesting.

    Raises BadInput.
    """
    expected = _expected(data)
    if expected:
        raise BadInput(f"{path or 'document'}: expected {expected}")
    if isinstance(data, dict | list | tuple):
        if not depth:
            raise BadInput(f"this JSON document is nested deeper than {MAX_DEPTH} levels")
        items = data.items() if isinstance(data, dict) else enumerate(data)
        for key, value in items:
            if isinstance(key, str):
                check_plain(key, f"a key of {path or 'the document'}", depth)
            check_plain(value, _join(path, key), depth - 1)


def _expected(data: Any) -> str | None:
    """What was expected in its place; None where the text or number is fine."""
    if isinstance(data, str):
        if "\0" in data:
            return "text without NUL characters"
        if not data.isascii() and _SURROGATE.search(data):
            return "text without lone surrogates"
    if isinstance(data, float) and not isfinite(data):
        return "a finite number"
    return None


def _join(path: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{shown(key)}" if path else shown(key)


def shown(key: str) -> str:
    """The key as it appears in a message, which is one line and short."""
    return str(key) if len(str(key)) <= 80 and str(key).isprintable() else repr(key)[:80] + "..."


_LOCATED = re.compile(r"(?s)(?P<what>.*) - at `(?:key` in `)?\$(?P<path>.*)`")
_FIELD = re.compile(r"(?s)Object (?:missing required field|contains unknown field) `(?P<name>.*)`")
_NESTED = re.compile(r"(?s)(?P<field>[a-z_0-9.:\[\]]+): (?P<what>.*)")


def explain(message: str, kind: type) -> str:
    """msgspec's message with the field in front: ``flavor.vcpus: Expected `int`, got `str``."""
    located = _LOCATED.fullmatch(message)
    what, path = (located["what"], located["path"].lstrip(".")) if located else (message, "")
    field = _FIELD.fullmatch(what)
    nested = _NESTED.fullmatch(what)
    if field:
        path = _join(path, field["name"])
        missing = what.startswith("Object missing")
        what = "required, but missing" if missing else "no such field is known here"
    elif nested:
        path, what = _join(path, nested["field"]), nested["what"]
    elif what.startswith("Invalid ") and (words := _words(kind, path)):
        what = f"expected one of {', '.join(words)}"
    return f"{path or 'document'}: {what}"


def _words(kind: type, path: str) -> list[str]:
    """What the field at the path may be, where it is one of some words."""
    words: list[str] = []
    kinds = _alternatives(inspect.type_info(kind))
    for name in re.findall("[a-z_]+", path):
        structs = [node for node in kinds if isinstance(node, inspect.StructType)]
        words = [str(struct.tag) for struct in structs if struct.tag_field == name]
        fields = [field for struct in structs for field in struct.fields]
        kinds = [k for f in fields if f.encode_name == name for k in _alternatives(f.type)]
    for node in kinds:
        words += map(str, node.values) if isinstance(node, inspect.LiteralType) else ()
    return words


def _alternatives(kind: inspect.Type) -> list[inspect.Type]:
    """The kinds that a value, or an item of it, may be of."""
    if isinstance(kind, inspect.UnionType):
        return [each for inner in kind.types for each in _alternatives(inner)]
    if isinstance(kind, inspect.VarTupleType):
        return _alternatives(kind.item_type)
    return [kind]
