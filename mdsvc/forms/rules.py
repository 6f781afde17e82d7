"""Rules on text: what it has to be beyond being text, as a pattern and in words.

A rule is said with a field's type, but it is none of the type's: what comes in is checked by
``checker``; what is stored kept the rules of its day, and is read by its types alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect

from mdsvc.forms.words import between_fields, fault, join, quoted


class Rule(msgspec.Struct, frozen=True):
    """What a whole text has to match, and the same in words."""

    words: str
    pattern: re.Pattern[str]


def rule(words: str, pattern: str) -> msgspec.Meta:
    """What says a rule with a type, as ``Mac`` does in ``names``."""
    schema = {"description": words, "pattern": f"^(?:{pattern})$"}
    both = Rule(words, re.compile(pattern))
    return msgspec.Meta(extra={"rule": both}, extra_json_schema=schema)


Check = Callable[[Any, str], None]
"""Checks a value that stands at a path. Raises BadInput."""


@lru_cache(maxsize=256)
def checker(kind: Hashable) -> Check | None:
    """What checks values of a type by all rules that are said in it; None where there is none."""
    return _checker(inspect.type_info(kind))


def _checker(kind: inspect.Type) -> Check | None:
    make = _CHECKERS.get(type(kind))
    return make(kind) if make else None


def _said(kind: inspect.Metadata) -> Check | None:
    rule = (kind.extra or {}).get("rule")
    return _text(rule) if rule else _checker(kind.type)


def _text(rule: Rule) -> Check:
    def check(value: Any, path: str) -> None:
        if isinstance(value, str) and not rule.pattern.fullmatch(value):
            raise fault(path, f"expected {rule.words}, got {quoted(value)}")

    return check


def _union(kind: inspect.UnionType) -> Check | None:
    """Each kind's check looks only at what is of that kind."""
    checks = list(filter(None, map(_checker, kind.types)))

    def check(value: Any, path: str) -> None:
        for one in checks:
            one(value, path)

    return check if checks else None


def _items(kind: inspect.ListType | inspect.VarTupleType) -> Check | None:
    of_item = _checker(kind.item_type)
    if of_item is None:
        return None

    def check(value: Any, path: str) -> None:
        if isinstance(value, list | tuple):
            for number, item in enumerate(value):
                of_item(item, join(path, number))

    return check


def _entries(kind: inspect.DictType) -> Check | None:
    of_key, of_value = _checker(kind.key_type), _checker(kind.value_type)

    def check(value: Any, path: str) -> None:
        for key, item in value.items() if isinstance(value, dict) else ():
            if of_key:
                of_key(key, f"{path}: each key")
            if of_value:
                of_value(item, join(path, key))

    return check if of_key or of_value else None


def _fields(kind: inspect.StructType) -> Check | None:
    """The rules of each field, and then those between fields (see ``Form``)."""
    checks = [(f.name, join("", f.encode_name), _checker(f.type)) for f in kind.fields]
    ruled = [(name, shown, check) for name, shown, check in checks if check]
    between = getattr(kind.cls, "check", None)

    def check(value: Any, path: str) -> None:
        if type(value) is not kind.cls:
            return
        for name, shown, of_field in ruled:
            of_field(getattr(value, name), join(path, shown))
        if between:
            _check_between(between, value, path)

    return check if ruled or between else None


def _check_between(between: Callable[[Any], None], value: Any, path: str) -> None:
    try:
        between(value)
    except ValueError as error:
        raise between_fields(path, str(error)) from None


_CHECKERS: Mapping[type[inspect.Type], Callable[[Any], Check | None]] = {
    inspect.DictType: _entries,
    inspect.ListType: _items,
    inspect.Metadata: _said,
    inspect.StructType: _fields,
    inspect.UnionType: _union,
    inspect.VarTupleType: _items,
}
