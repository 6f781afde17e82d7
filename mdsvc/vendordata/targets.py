"""The operator's own services that add to ``vendor_data2.json``: their names and addresses, in the
form of Nova's ``vendordata_dynamic_targets``.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mdsvc.outbound import is_plain_url

SETTING = "vendordata_dynamic_targets"
STATIC = "static"
"""The part that the static file has; no target can be called so."""

_EXPECTED = "expected NAME@http://HOST:PORT/PATH or NAME@https://…"


class Target(msgspec.Struct, frozen=True):
    """``name`` is the key of the target's answer, ``url`` what is asked for it."""

    name: str
    url: str


def parse_targets(texts: Iterable[str], field: str = SETTING) -> tuple[Target, ...]:
    """Raises ValueError. No name is there twice, or one answer would hide another."""
    targets = tuple(_parse(text, field) for text in texts)
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{field}: expected each name once, but {name!r} is there twice")
    return targets


def _parse(text: str, field: str) -> Target:
    """A URL with a name and password is refused, as it would be shown."""
    name, at, url = text.partition("@")
    if not (at and _is_name(name) and is_plain_url(url, without="@#")):
        shown = "" if "@" in url else f", got {text!r}"
        raise ValueError(f"{field}: {_EXPECTED}, without a user or fragment{shown}")
    if name == STATIC:
        raise ValueError(f"{field}: expected another name than {STATIC!r}: the static file has it")
    return Target(name, url)


def _is_name(text: str) -> bool:
    return bool(text) and text.isprintable() and text == text.strip()
