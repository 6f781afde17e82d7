"""Reading extra specs and image properties: typed look-ups that name the key when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mdsvc.cpuset import CpuSet
from mdsvc.errors import InvalidRequest
from mdsvc.forms import shown

Spec = str | int | bool
"""A value as JSON has it; numbers and booleans mean their usual spelling."""

Texts = Mapping[str, str]

_TRUTH = {
    **dict.fromkeys(("1", "t", "true", "on", "y", "yes"), True),
    **dict.fromkeys(("0", "f", "false", "off", "n", "no"), False),
}
"""The spellings of oslo.utils' ``bool_from_string``; whatever else is an error here."""


def check(values: Mapping[str, object], field: str) -> None:
    """Refuse values of any other type. Raises ValueError naming the field and the key."""
    for key, value in values.items():
        if not isinstance(value, Spec):
            expected = "expected text, a whole number, true or false"
            raise ValueError(f"{field}.{shown(key)}: {expected}")


def texts(values: Mapping[str, Spec]) -> dict[str, str]:
    """The values as the text that Nova and Glance would store."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in values.items()
    }


def choice(source: Texts, key: str, allowed: tuple[str, ...]) -> Any:
    """One of the allowed words, or None where the key is absent."""
    value = source.get(key)
    if value is not None and value not in allowed:
        raise InvalidRequest(key, value, f"one of {', '.join(allowed)}")
    return value


def integer(source: Texts, key: str, minimum: int) -> int:
    """A whole number in plain decimal digits."""
    value = source[key]
    if not re.fullmatch("[0-9]{1,15}", value) or int(value) < minimum:
        raise InvalidRequest(key, value, f"a whole number, at least {minimum}")
    return int(value)


def truth(source: Texts, key: str) -> bool:
    """A boolean in any usual spelling; False where the key is absent."""
    value = source.get(key, "no")
    try:
        return _TRUTH[value.strip().lower()]
    except KeyError:
        raise InvalidRequest(key, value, "yes or no") from None


def cpus(source: Texts, key: str, universe: CpuSet) -> CpuSet:
    """A non-empty set of vCPUs, all of the universe; exclusions (``^0-1``) are understood."""
    value = source[key]
    expected = f"a set of vCPUs out of {universe}"
    try:
        vcpus = CpuSet.parse_spec(value, universe)
    except ValueError as error:
        raise InvalidRequest(key, value, f"{expected}, but {error}") from None
    if not vcpus or not vcpus <= universe:
        raise InvalidRequest(key, value, expected)
    return vcpus


def either(specs: Texts, props: Texts, name: str) -> tuple[str, Texts]:
    """The key of that name and where it stands: flavor or image, and never both.

    Where it stands in neither, the flavor's key is given.
    """
    flavor_key, image_key = f"hw:{name}", f"hw_{name}"
    if flavor_key in specs and image_key in props:
        raise InvalidRequest(
            image_key, props[image_key], f"nothing, as the flavor has {flavor_key}"
        )
    return (image_key, props) if image_key in props else (flavor_key, specs)


def indexed(specs: Texts, props: Texts, name: str) -> tuple[dict[int, str], Texts]:
    """The keys ``NAME.0``, ``NAME.1``, … by their index and where they stand, likewise."""
    flavor_keys = _indexes(specs, f"hw:{name}")
    image_keys = _indexes(props, f"hw_{name}")
    if flavor_keys and image_keys:
        key = image_keys[min(image_keys)]
        raise InvalidRequest(key, props[key], f"nothing, as the flavor has hw:{name}.*")
    return (image_keys, props) if image_keys else (flavor_keys, specs)


def _indexes(source: Texts, prefix: str) -> dict[int, str]:
    pattern = re.compile(re.escape(prefix) + r"\.(0|[1-9][0-9]{0,3})")
    matches = (pattern.fullmatch(key) for key in source)
    return {int(match[1]): match[0] for match in matches if match}
