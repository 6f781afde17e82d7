"""Pieces that several views have: tables, bars, facts, links, and the way to the next page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from mdsvc.web.markup import Child, Html, foreign, h


class Column(NamedTuple):
    """A column's name; ``is_number`` sets it to the right. ``sort`` is its link, and how it is
    sorted now.
    """

    name: str
    is_number: bool = False
    link: str | None = None
    sorted_as: str | None = None


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Child]]) -> Html:
    """A table that can be filtered where scripts run; the first cell of a row is its header."""
    heads = [
        h(
            "th",
            h("a", column.name, href=column.link) if column.link else column.name,
            scope="col",
            class_="number" if column.is_number else None,
            aria_sort=column.sorted_as,
        )
        for column in columns
    ]
    body = [h("tr", _cells(columns, row)) for row in rows]
    return h(
        "div",
        h("table", h("caption", caption), h("thead", h("tr", heads)), h("tbody", body)),
        class_="scroll",
        role="region",
        aria_label=caption,
        tabindex="0",
    )


def _cells(columns: Sequence[Column], row: Sequence[Child]) -> Iterable[Html]:
    for at, (column, cell) in enumerate(zip(columns, row, strict=True)):
        kind = "number" if column.is_number else None
        yield h("td", cell, class_=kind) if at else h("th", cell, scope="row", class_=kind)


def facts(by_name: Mapping[str, Child]) -> Html:
    """Names and what they are."""
    return h("dl", [h("div", h("dt", name), h("dd", what)) for name, what in by_name.items()])


def bar(used: int, total: int, text: str) -> Html:
    """How much of it is in use, to see and in words."""
    percent = min(100.0, 100 * used / total) if total else 0.0
    full = "full" if total and used >= total else None
    return h(
        "span",
        h(
            "svg",
            h("rect", class_="room", width="100%", height="100%"),
            h("rect", class_="used", width=f"{percent:.1f}%", height="100%"),
            class_="bar",
            aria_hidden="true",
        ),
        h("span", text),
        class_=f"fill {full}" if full else "fill",
    )


def unreadable(records: Iterable[str]) -> Sequence[Html]:
    """What could not be read, and why."""
    return [h("p", foreign(f"Not shown: {record}"), class_="warning") for record in records]


def count(number: int, name: str) -> str:
    """``1 host``, ``2 hosts``."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def host_link(name: str) -> Html:
    return h("a", foreign(name), href=f"/hosts/{quote(name, safe='')}")


def guest_link(uuid: str, name: str) -> Html:
    return h("a", foreign(name), href=f"/instances/{quote(uuid, safe='')}")


def address(path: str, **query: str | int | None) -> str:
    """The path with what of the query there is."""
    texts = {key: str(value) for key, value in query.items() if value}
    return f"{path}?{urlencode(texts)}" if texts else path


def pages(**links: str | None) -> Html | None:
    """The way to other pages of a listing, as ``next="/…"``; None where there is none."""
    there = {name: link for name, link in links.items() if link}
    items = [h("li", h("a", name.capitalize(), href=link)) for name, link in there.items()]
    return h("nav", h("ul", items), aria_label="Pages", class_="pages") if items else None


def search(
    label: str,
    path: str,
    fields: Mapping[str, str],
    labels: Mapping[str, str] = {},
    is_instant: bool = False,
    **hidden: str,
) -> Html:
    """A form of texts to look for. Its names are those of the query; ``labels`` what people read
    for them. ``is_instant``: the script asks as one types.
    """
    inputs = [
        h("label", _label(label, fields, labels.get(name, name)), " ", _input(name, value))
        for name, value in fields.items()
    ]
    kept = [h("input", type="hidden", name=name, value=v) for name, v in hidden.items() if v]
    button = h("button", "Search", type="submit")
    form = (inputs, kept, button)
    return h(
        "form", form, action=path, role="search", class_="search", data_instant=is_instant or None
    )


def _label(label: str, fields: Mapping[str, str], name: str) -> str:
    return f"{label} {name}".strip() if len(fields) > 1 else label


def _input(name: str, value: str) -> Html:
    return h(
        "input",
        type="search",
        name=name,
        id=f"search-{name}",
        value=value,
        autocomplete="off",
        maxlength="255",
    )


def filter_box(what: str) -> Html:
    """For the rows that are on the page; shown by the script, as it does nothing without."""
    box = h("input", type="search", id="filter", autocomplete="off")
    return h("label", f"Filter these {what} ", box, class_="filter", hidden=True)
