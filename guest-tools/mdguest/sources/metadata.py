"""The metadata server: mdsvc's own document, Nova's, or a leaf of the EC2 tree.

The address is the one given, else 169.254.169.254, else its IPv6 likeness on each link. An address
where nobody answers, or where every document is refused, is left for the next; a server that
answers is the one that is asked, and what it says holds, also where it says nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mdguest.errors import Trouble, Unavailable, Unreachable
from mdguest.layout import Layout, dedicated_cpus
from mdguest.sources import link_local
from mdguest.sources.client import Client, Refusal
from mdguest.sources.documents import META_DATA, json_object, layout_of, plain_text
from mdguest.sources.patience import PATIENCE, Patience
from mdguest.sources.server import URL_FORM, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdguest.system import System

    Reader = Callable[[Client], Layout]

NAME = "metadata"
FORM = f"{NAME}[:{URL_FORM}]"
USUAL = Server("169.254.169.254")

_OWN_TREE = "/mdsvc/v1"
_ETAG = re.compile(r"[\w.~-]{1,128}", re.ASCII)

_LONGEST_WAIT = 25.0
"""Seconds, as at the server: Neutron's haproxy cuts off what takes longer than 32."""

_MAX_REPORT = 2048
"""Bytes; Neutron's agent reads a request, headers and all, of 4096."""


def check(argument: str) -> None:
    """Raise BadInput where the argument of ``--source metadata:`` is no URL."""
    if argument:
        Server.parse(argument)


def read(argument: str, system: System, patience: Patience) -> Layout:
    """What the server says."""
    return fetch(argument, system, patience, _read)


def fetch(argument: str, system: System, patience: Patience, reader: Reader) -> Layout:
    """What ``reader`` finds at the server of that URL, or without one at the usual addresses."""
    ends = patience.clock() + patience.total
    if argument:
        return reader(Client(Server.parse(argument), patience, ends))
    try:
        return _at_usual(system, patience, ends, reader)
    except Refusal as error:  # a firewall's, perhaps: nobody has said anything of this guest
        raise Unreachable(str(error)) from None


def _at_usual(system: System, patience: Patience, ends: float, reader: Reader) -> Layout:
    try:
        return reader(Client(USUAL, patience, ends))
    except Unavailable:
        raise
    except (Unreachable, Refusal) as error:
        ipv4 = error
    try:
        server = link_local.find(system, patience)
    except Unreachable as error:
        raise Unreachable(f"{ipv4}; {error}") from None
    return reader(Client(server, patience, ends))


def wait(layout: Layout, seconds: float, patience: Patience = PATIENCE) -> Layout:
    """What the layout's server says once it is another, or when about ``seconds`` are over.

    The answer may come sooner and be the same: a server holds a guest 25 seconds at most, and
    behind some proxies not at all. Raises what ``read`` raises.
    """
    held = int(max(min(seconds, _LONGEST_WAIT), 0))
    query = f"?wait_for_change=true&last_etag={layout.etag}&timeout_sec={held}"
    ends = patience.clock() + held + patience.total
    return _read(Client(_server(layout), patience, ends), query, held)


def report(layout: Layout, status: dict[str, object], patience: Patience = PATIENCE) -> bool:
    """Tell the layout's server how things stand here, where it takes that; whether it did.

    A server that does lists ``status`` in its own tree. Nothing is raised for one that does not.
    """
    import json

    body = json.dumps(status, separators=(",", ":")).encode()
    if not layout.source.startswith(f"{NAME}:") or len(body) > _MAX_REPORT:
        return False
    once = replace(patience, tries=1, knocks=1)
    client = Client(_server(layout), once, patience.clock() + patience.request)
    try:
        names = client.get(_OWN_TREE) or b""
        if b"status" not in names.split():
            return False
        return client.ask("POST", f"{_OWN_TREE}/status", body).status in (200, 201, 204)
    except Trouble:
        return False


def _server(layout: Layout) -> Server:
    return Server.parse(layout.source.partition(":")[2])


def _read(client: Client, query: str = "", held: float = 0.0) -> Layout:
    """The first document that is there. A server that has none says nothing.

    Where it refuses one, another is still asked for: a proxy may know but the usual ones.
    """
    source = f"{NAME}:{client.server}"
    refused = None
    for path, reader in _DOCUMENTS:
        own = path.startswith(_OWN_TREE)
        try:
            data = client.get(path + query if own else path, held if own else 0.0)
        except Refusal as error:
            refused = refused or error
            continue
        if data is not None:
            return reader(data, f"{client.server}{path}", source)
    if refused:
        raise refused
    return Layout(None, source)


def _own(data: bytes, where: str, source: str) -> Layout:
    found = json_object(data, where)
    etag = _ETAG.fullmatch(str(found.get("etag", "")))
    layout = layout_of(found, where, source, etag[0] if etag else "")
    generation = found.get("generation")
    return replace(layout, generation=generation) if type(generation) is int else layout


def _nova(data: bytes, where: str, source: str) -> Layout:
    return layout_of(json_object(data, where), where, source)


def _leaf(data: bytes, where: str, source: str) -> Layout:
    """The leaf is there only for guests with dedicated CPUs, so an empty one says nothing."""
    text = plain_text(data, where)
    return Layout(dedicated_cpus(text, where) if text else None, source)


_DOCUMENTS: tuple[tuple[str, Callable[[bytes, str, str], Layout]], ...] = (
    (f"{_OWN_TREE}/layout", _own),
    (f"/{META_DATA}", _nova),
    ("/latest/meta-data/cpu/dedicated", _leaf),
)
