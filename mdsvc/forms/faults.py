"""What is wrong with a document that msgspec refuses: the field, and in words what was expected.

msgspec says where it stopped (``$.meta[...]``) and what type it wanted. Here the path is followed
through the document and its type, so that keys are named and limits become words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from mdsvc.errors import BadInput
from mdsvc.forms.words import between_fields, expected, fault, instead, join

Convert = Callable[[Any, Any], object]
"""Reads a document as a value of a type, or raises msgspec's ValidationError."""

_LISTS = (tuple, list, Sequence)
_OBJECTS = (dict, Mapping)
"""Generic types that a form may be made of."""

_LOCATED = re.compile(r"(?s)(?P<what>.*) - at `(?P<of_key>key` in `)?\$(?P<path>.*)`")
_STEP = re.compile(r"\.(?P<field>\w+)|\[(?P<index>\d+)\]|(?P<entry>\[\.\.\.\])")
_FIELD = re.compile(r"(?s)Object (?:missing required field|contains unknown field) `(?P<name>.*)`")
_OF_TYPE = ("Expected `", "Integer value out of range")


def explain(error: msgspec.ValidationError, data: Any, kind: Any, convert: Convert) -> BadInput:
    """The error for what ``convert(data, kind)`` has refused, as in ``meta.a: expected text``."""
    located = _LOCATED.fullmatch(str(error))
    what, steps = (located["what"], located["path"]) if located else (str(error), "")
    path = ""
    for step in _STEP.finditer(steps):
        if tags := _tags(kind, step["field"]):
            return fault(join(path, step["field"]), f"expected one of {', '.join(tags)}")
        key, data, kind = _follow(data, kind, step, convert)
        path = join(path, key)
    if located and located["of_key"]:
        return fault(path, f"each key: expected {expected(_key_of(kind))}")
    return _located(path, what, data, inspect.type_info(kind))


def _located(path: str, what: str, data: Any, kind: inspect.Type) -> BadInput:
    """The error for a value of which the path is known."""
    if field := _FIELD.fullmatch(what):
        missing = what.startswith("Object missing")
        why = "required, but missing" if missing else "no such field is known here"
        return fault(join(path, field["name"]), why)
    if what.startswith("Invalid "):  # not one of some words
        what = f"expected {expected(kind)}"
    elif what.startswith(_OF_TYPE):
        what = f"expected {expected(kind)}, got {instead(data, kind)}"
    else:
        return between_fields(path, what)
    return fault(path, what)


def _follow(data: Any, kind: Any, step: re.Match[str], convert: Convert) -> tuple[Any, Any, Any]:
    """What a step leads to: its key, what stands there, and of what type that should be."""
    if field := step["field"]:
        struct = _struct(data, kind, field)
        return field, data[field], get_type_hints(struct, include_extras=True)[field]
    if index := step["index"]:
        return int(index), data[int(index)], get_args(_one_of(kind, *_LISTS))[0]
    entries = _one_of(kind, *_OBJECTS)
    key = next(key for key, item in data.items() if _is_refused({key: item}, entries, convert))
    return key, data[key], get_args(entries)[1]


def _is_refused(data: Any, kind: Any, convert: Convert) -> bool:
    try:
        convert(data, kind)
    except msgspec.ValidationError:
        return True
    return False


def _one_of(kind: Any, *origins: type) -> Any:
    return next(each for each in _alternatives(kind) if get_origin(each) in origins)


def _key_of(kind: Any) -> inspect.Type:
    """A struct's keys are the names of its fields."""
    return inspect.type_info(str if _structs(kind) else get_args(_one_of(kind, *_OBJECTS))[0])


def _struct(data: Any, kind: Any, field: str) -> Any:
    """The struct that the data is of: by its tag, where there are several."""
    structs = [each for each in _structs(kind) if field in each.__struct_fields__]
    tagged = [each for each in structs if _tag(each) == (data.get(_tag_field(each)))]
    return (tagged or structs)[0]


def _structs(kind: Any) -> list[Any]:
    return [each for each in _alternatives(kind) if hasattr(each, "__struct_fields__")]


def _tags(kind: Any, field: str | None) -> list[str]:
    """What a field may be that says of which struct the data is."""
    return [str(_tag(each)) for each in _structs(kind) if field and _tag_field(each) == field]


def _tag(struct: Any) -> Any:
    return struct.__struct_config__.tag


def _tag_field(struct: Any) -> Any:
    return struct.__struct_config__.tag_field


def _alternatives(kind: Any) -> Iterator[Any]:
    """The types that a value may be of, without what is only said about them."""
    if get_origin(kind) is Annotated:
        yield from _alternatives(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for inner in get_args(kind):
            yield from _alternatives(inner)
    else:
        yield kind
