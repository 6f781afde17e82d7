"""HTML that cannot be written unescaped: elements are values, and text in them is always text.

Names are foreign: what is not printable, such as the marks that turn the direction of what follows,
is shown as U+FFFD wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import NamedTuple, TypeAlias

_SHORT = 24
"""Letters of a name that is not broken into lines."""

_VOID = frozenset({"input", "link", "meta"})


class Html(NamedTuple):
    """A piece of HTML, which only this module makes."""

    text: str


Child: TypeAlias = "Html | str | int | Iterable[Child] | None"
Value: TypeAlias = str | int | float | bool | None


def h(tag: str, *children: Child, **attributes: Value) -> Html:
    """An element. ``class_`` is the attribute class, ``aria_label`` is aria-label; True is one
    without a value, and None or False none. Children may be nested lists; None is nothing.
    """
    opened = f"<{tag}{''.join(_attribute(*item) for item in attributes.items())}>"
    inside = "".join(map(_text, children))
    return Html(opened if tag in _VOID else f"{opened}{inside}</{tag}>")


def foreign(text: str) -> Html:
    """A name that somebody else chose: it turns the direction of nothing around it."""
    return h("bdi", text, class_="short" if len(text) <= _SHORT else None)


def document(root: Html) -> bytes:
    """The whole of a page."""
    return f"<!doctype html>\n{root.text}\n".encode()


def _text(child: Child) -> str:
    match child:
        case None:
            return ""
        case Html():
            return child.text
        case str() | int():
            return _safe(str(child))
        case _:
            return "".join(map(_text, child))


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    spelt = name.rstrip("_").replace("_", "-")
    return f" {spelt}" if value is True else f' {spelt}="{_safe(str(value))}"'


def _safe(text: str) -> str:
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
    return escape(text)
