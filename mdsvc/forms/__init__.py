"""JSON forms to frozen values and back, with one clear message when a form is wrong.

The forms are the values' own fields (``topology``, ``flavor``, ``instance``, ``layout``), read
strictly by msgspec: unknown keys, missing keys and wrong types are errors that name the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput
from mdsvc.forms.faults import explain
from mdsvc.forms.rules import Check, checker
from mdsvc.forms.words import CPU_SET, fault, instead, join, shown

__all__ = [
    "Form",
    "check_plain",
    "explain",
    "from_builtins",
    "from_json",
    "from_store",
    "from_texts",
    "shown",
    "to_builtins",
    "to_json",
]

T = TypeVar("T")

MAX_DEPTH = 64


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every value that has a JSON form. Immutable; unknown keys are refused.

    ``__post_init__`` fills in, gives values their one spelling, and refuses what could not be used.
    Rules that are for input alone stand in fields' types (``rules``); those between fields are a
    method ``check(self) -> None``, which raises ValueError naming a field.
    """


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
    """Read input: of its type, and by every rule there is. Raises BadInput."""
    value = from_store(data, kind)
    check: Check | None = checker(kind)  # type: ignore[arg-type]  # types can be hashed
    if check:
        check(value, "")
    return value


def from_texts(texts: Mapping[str, str], kind: type[T]) -> T:
    """Read what was given as texts by name, as in a query: a number is one that is spelled out.

    Raises BadInput.
    """
    check_plain(texts)
    try:
        value: T = _convert_texts(texts, kind)
    except msgspec.ValidationError as error:
        raise explain(error, texts, kind, _convert_texts) from None
    check: Check | None = checker(kind)  # type: ignore[arg-type]  # types can be hashed
    if check:
        check(value, "")
    return value


def _convert_texts(texts: Any, kind: Any) -> Any:
    return msgspec.convert(texts, kind, strict=False, dec_hook=_decode)


def from_store(data: Any, kind: type[T]) -> T:
    """Read what was input once: of its type, by the rules of its day. Raises BadInput.

    A rule that is newer than a record must not cost a guest its metadata; what could do harm is
    made harmless where it is shown (``documents``).
    """
    check_plain(data)
    try:
        value: T = _convert(data, kind)
    except msgspec.ValidationError as error:
        raise explain(error, data, kind, _convert) from None
    return value


def _convert(data: Any, kind: Any) -> Any:
    return msgspec.convert(data, kind, str_keys=True, dec_hook=_decode)


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
        raise ValueError(f"expected {CPU_SET}, got {instead(value, inspect.AnyType())}")
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
        raise fault(path, f"expected {expected}")
    if isinstance(data, dict | list | tuple):
        if not depth:
            raise BadInput(f"this JSON document is nested deeper than {MAX_DEPTH} levels")
        items = data.items() if isinstance(data, dict) else enumerate(data)
        for key, value in items:
            if isinstance(key, str):
                check_plain(key, f"a key of {path or 'the document'}", depth)
            check_plain(value, join(path, key), depth - 1)


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
