"""What every page has around its content: head, navigation, landmarks."""

from __future__ import annotations

from collections.abc import Sequence

from mdsvc.access import Caller
from mdsvc.web.assets import address_of
from mdsvc.web.markup import Html, document, h
from mdsvc.web.visit import Page

_VIEWS = (
    ("/", "Hosts"),
    ("/instances", "Guests"),
    ("/what-if", "What if"),
    ("/changes", "Changes"),
)

EVENTS_PATH = "/page/events"


def framed(page: Page, path: str, caller: Caller | None) -> bytes:
    """The whole document. ``caller`` is None where nobody was let in: it has no navigation then."""
    events = EVENTS_PATH if page.is_live and caller else None
    root = h(
        "html",
        h(
            "head",
            h("meta", charset="utf-8"),
            h("meta", name="viewport", content="width=device-width, initial-scale=1"),
            h("meta", name="color-scheme", content="light dark"),
            h("meta", http_equiv="refresh", content=page.refresh) if page.refresh else None,
            h("title", f"{page.title} · mdsvc"),
            h("link", rel="icon", href=address_of("icon.svg")),
            h("link", rel="stylesheet", href=address_of("page.css")),
            h("script", src=address_of("page.js"), defer=True),
        ),
        h(
            "body",
            h("a", "Skip to the content", href="#content", class_="skip"),
            _header(path, caller),
            h("main", page.content, id="content", tabindex="-1", data_events=events),
        ),
        lang="en",
    )
    return document(root)


def _header(path: str, caller: Caller | None) -> Html:
    if caller is None:
        return h("header", h("span", "mdsvc", class_="brand"))
    links = [
        h("li", h("a", name, href=where, aria_current="page" if _is_in(path, where) else None))
        for where, name in _VIEWS
    ]
    return h(
        "header",
        h("span", "mdsvc", class_="brand"),
        h("nav", h("ul", links), aria_label="Views"),
        h("p", "", id="live", role="status"),
        _leave(caller),
    )


def _is_in(path: str, where: str) -> bool:
    if where == "/":
        return path == "/" or path.startswith("/hosts/")
    return path == where or path.startswith(f"{where}/")


def _leave(caller: Caller) -> Html | Sequence[Html]:
    """Nobody leaves where no token is needed."""
    if caller.name is None:
        return ()
    leave = h("button", f"Log out {caller.name}", type="submit")
    return h("form", leave, method="post", action="/logout")
