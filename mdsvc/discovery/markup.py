"""libvirt's XML read safely: no entities, nothing huge, and numbers with their units.

Each error is a BadInput that names the element and says what was expected there.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from mdsvc.errors import BadInput

MAX_XML = 16 * 2**20
"""Bytes; a host of 4096 CPUs in 256 cells takes 4 MiB."""

MAX_KB = 2**50


class _WithoutDoctype(ET.TreeBuilder):
    """libvirt writes no document type; where there is one, it can only do harm by its entities."""

    def doctype(self, name: str, _public: str | None, _system: str | None) -> None:
        raise BadInput(f"<!DOCTYPE {shown(name)}>: expected no document type in libvirt's XML")


def document(xml: str | bytes, by: str) -> Element:
    """The root element of what ``by`` prints. Entities other than XML's own are refused."""
    if len(xml) > MAX_XML:
        raise BadInput(f"expected at most {MAX_XML >> 20} MiB of XML, got {len(xml) >> 20} MiB")
    builder = _WithoutDoctype()
    try:
        return ET.fromstring(xml, ET.XMLParser(target=builder))  # noqa: S314 - no DTD, no entities
    except (ET.ParseError, LookupError, ValueError) as error:
        raise BadInput(f"expected XML as {by} prints it: {error}") from None


def as_text(xml: bytes, by: str) -> str:
    """The same document as text, whatever its encoding is."""
    return ET.tostring(document(xml, by), encoding="unicode")


# ---- numbers and units ----

_BYTES = {"b": 1, "byte": 1, "bytes": 1} | {
    prefix + suffix: int(base**power)
    for power, prefix in enumerate("kmgtpe", start=1)
    for suffix, base in (("", 1024), ("b", 1000), ("ib", 1024))
}


def in_kb(count: int, unit: str | None, what: str) -> int:
    """An amount in libvirt's units (virScaleInteger) in KiB, rounded down; without one, KiB."""
    scale = _BYTES.get((unit or "KiB").lower())
    if scale is None:
        raise BadInput(f"{what} unit: expected one like KiB, MiB or bytes, got {shown(unit)!r}")
    scaled = count * scale // 1024
    if scaled > MAX_KB:
        raise BadInput(f"{what}: expected at most {MAX_KB} KiB, got {count} {unit}")
    return scaled


def attribute(element: Element, name: str, what: str, most: int) -> int:
    """A whole number that an attribute holds."""
    return number(element.get(name), f"{what} {name}", most)


def number(text: str | None, what: str, most: int) -> int:
    """A whole number of 0 to ``most``."""
    digits = (text or "").strip(" \t\r\n")
    if not re.fullmatch("[0-9]{1,18}", digits) or int(digits) > most:
        got = "nothing" if text is None else repr(shown(text))
        raise BadInput(f"{what}: expected a whole number of 0 to {most}, got {got}")
    return int(digits)


def shown(text: object) -> str:
    """Foreign text for a message: cut where it is long."""
    return str(text) if len(str(text)) <= 60 else f"{str(text)[:57]}..."
