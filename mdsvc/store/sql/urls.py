"""A database's URL: read, and as it may be shown.

``SCHEME://USER:PASSWORD@HOST1:PORT1,HOST2:PORT2/DATABASE?OPTION=VALUE``; without hosts, the path
of a file. No message repeats a password, nor a part of one that stands where something else should.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import msgspec
from typing_extensions import override

from mdsvc.errors import BadInput
from mdsvc.store.sql.engines import EXPECTED

_URL = re.compile(r"(?P<scheme>[a-z]+)://(?P<authority>[^/?]*)(?P<path>[^?]*)(?:\?(?P<query>.*))?")
_HOST = re.compile(r"(?:\[(?P<ipv6>[\w:.%]+)\]|(?P<name>[^:\[\]@\s]+))(?::(?P<port>[0-9]{1,5}))?")

_SECRET_OPTION = re.compile(r"([?&][^=&]*(?:pass|pwd|secret)[^=&]*=)[^&]*", re.IGNORECASE)


class Host(msgspec.Struct, frozen=True):
    """A server; the port is None where the URL has none."""

    name: str
    port: int | None

    @override
    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


class DatabaseUrl(msgspec.Struct, frozen=True):
    """The parts of a URL, percent signs resolved but for those of a file's path. ``database`` is
    what follows the first slash of the path.
    """

    scheme: str
    user: str | None
    password: str | None
    hosts: tuple[Host, ...]
    database: str
    options: Mapping[str, str]

    @override
    def __repr__(self) -> str:
        return f"{self.scheme}://{','.join(map(str, self.hosts))}/{self.database}"


def parse(url: str) -> DatabaseUrl:
    """The parts of a URL. Raises BadInput."""
    parts = _URL.fullmatch(url)
    if parts is None:
        raise BadInput(f"expected {EXPECTED}")
    if "@" in parts["path"] and parts["authority"]:
        raise BadInput("expected a / in the user or the password as %2F, a ? as %3F")
    login, at, servers = parts["authority"].rpartition("@")
    user, colon, password = login.partition(":")
    database = parts["path"].removeprefix("/")
    return DatabaseUrl(
        scheme=parts["scheme"],
        user=unquote(user) if at and user else None,
        password=unquote(password) if colon else None,
        hosts=tuple(_host(server) for server in servers.split(",")) if servers else (),
        database=database if parts["scheme"] == "sqlite" else unquote(database),
        options=_options(parts["query"]),
    )


def _host(server: str) -> Host:
    parts = _HOST.fullmatch(server)
    if parts is None or not 0 < int(parts["port"] or 1) < 65536:
        raise BadInput("expected hosts as NAME:PORT or [IPv6]:PORT, with commas between them")
    name, port = parts["ipv6"] or unquote(parts["name"]), parts["port"]
    return Host(name, int(port) if port else None)


def _options(query: str | None) -> Mapping[str, str]:
    pairs = parse_qsl(query or "", keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        raise BadInput("expected each option of the URL once")
    return options


def without_password(url: str) -> str:
    """The URL as it may stand in a command."""
    return re.sub(r"(//[^:@/]*):.*@", r"\1@", url, flags=re.DOTALL)


def shown(url: str) -> str:
    """The URL as it may appear in messages: without the user and the password, also where it is
    given as an option, as other programs take it.
    """
    is_file = url.startswith("sqlite:///")  # whose name may have an @ of its own
    login = url if is_file else re.sub(r"//.*@", "//***@", url, flags=re.DOTALL)
    return _SECRET_OPTION.sub(r"\1***", login)


def is_missing(url: str) -> bool:
    """Is this the URL of a file that is not there yet, in a directory that is?"""
    parsed = parse(url)
    path = Path(parsed.database)
    try:
        return parsed.scheme == "sqlite" and path.parent.is_dir() and not path.exists()
    except OSError:  # nobody can tell, and opening it says why
        return False
