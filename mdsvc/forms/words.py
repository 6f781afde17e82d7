"""Forms in words: what a field is expected to be, what stands there instead, and where."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import inspect

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput


def expected(kind: inspect.Type) -> str:
    """What a value of this kind is, as in ``a whole number from 0 to 4094``."""
    return _WORDS[type(kind)](kind)


def _of_metadata(kind: inspect.Metadata) -> str:
    rule = (kind.extra or {}).get("rule")
    return rule.words if rule else expected(kind.type)


def _of_union(kind: inspect.UnionType) -> str:
    """Null is taken where a field may be left out, which is better than saying null."""
    kinds = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
    return " or ".join(dict.fromkeys(map(expected, kinds)))


def _of_number(kind: inspect.IntType | inspect.FloatType) -> str:
    words = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
    if kind.ge is not None and kind.le is not None:
        return f"{words} from {kind.ge} to {kind.le}"
    limits = {"at least": kind.ge, "above": kind.gt, "at most": kind.le, "below": kind.lt}
    return " ".join([words, *_limits(limits)])


def _of_list(kind: inspect.VarTupleType | inspect.ListType) -> str:
    limits = _limits({"at least": kind.min_length, "at most": kind.max_length})
    return f"a list of {' '.join(limits)} items" if limits else "a list"


def _limits(limits: Mapping[str, float | None]) -> list[str]:
    given = [f"{words} {limit}" for words, limit in limits.items() if limit is not None]
    return [" and ".join(given)] if given else []


def _of_choice(kind: inspect.LiteralType) -> str:
    """Nothing is a choice too, and is not to be seen among the others."""
    words = f"one of {', '.join(str(value) for value in kind.values if value != '')}"
    return f"{words}, or nothing" if "" in kind.values else words


CPU_SET = 'a CPU set string like "0-3,7"'
_CUSTOM: Mapping[Any, str] = {CpuSet: CPU_SET, Path: "a path"}

_WORDS: Mapping[type[inspect.Type], Callable[[Any], str]] = {
    inspect.AnyType: lambda _: "any value",
    inspect.BoolType: lambda _: "true or false",
    inspect.CustomType: lambda kind: _CUSTOM.get(kind.cls, kind.cls.__name__),
    inspect.DictType: lambda _: "an object",
    inspect.FloatType: _of_number,
    inspect.IntType: _of_number,
    inspect.ListType: _of_list,
    inspect.LiteralType: _of_choice,
    inspect.Metadata: _of_metadata,
    inspect.NoneType: lambda _: "null",
    inspect.StrType: lambda _: "text",
    inspect.StructType: lambda _: "an object",
    inspect.UnionType: _of_union,
    inspect.VarTupleType: _of_list,
}


def instead(value: object, kind: inspect.Type) -> str:
    """What stands there instead. Only where a number is expected it is shown, and the length of a
    list; of all else its type, as what is in a wrong place may be a secret.
    """
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case int() | float():
            return shown(str(value)) if _is_one(kind, _NUMBERS) else "a number"
        case str():
            return f"the text {quoted(value)}" if _is_one(kind, _NUMBERS) else "text"
        case list() | tuple():
            return f"{len(value)}" if _is_one(kind, _LISTS) else "a list"
        case dict():
            return "an object"
        case _:
            return type(value).__name__


_LISTS = (inspect.ListType, inspect.VarTupleType)
_NUMBERS = (inspect.FloatType, inspect.IntType)


def _is_one(kind: inspect.Type, of: tuple[type[inspect.Type], ...]) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(_is_one(each, of) for each in kind.types)
    return isinstance(kind.type if isinstance(kind, inspect.Metadata) else kind, of)


def fault(path: str, what: str) -> BadInput:
    """What is wrong with what stands at a path, or with the whole document."""
    return BadInput(f"{path or 'document'}: {what}", field=path or None)


def between_fields(path: str, text: str) -> BadInput:
    """What a value at a path finds wrong with itself, as in ``cells: expected at least one``."""
    named = _NAMED.fullmatch(text)
    return fault(join(path, named["field"]), named["what"]) if named else fault(path, text)


_NAMED = re.compile(r"(?s)(?P<field>[a-z_]\S*?): (?P<what>.*)")


def join(path: str, key: object) -> str:
    """The path of what stands at a key, or at an index, below a path."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{shown(str(key))}" if path else shown(str(key))


def shown(key: str) -> str:
    """The key as it appears in a message, which is one line and short."""
    text = key if key.isprintable() else repr(key)
    return text if len(text) <= 80 else f"{text[:80]}..."


def quoted(text: str) -> str:
    """Text that is not as it should be, in quotes; the start of it where it is long."""
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."
