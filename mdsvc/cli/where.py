"""Where a command finds hosts and guests: in a store that it opens, or with a running server."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from mdsvc.terminal.console import remember, remembered, settings, store_option

if TYPE_CHECKING:
    from mdsvc.operating import Operator

F = TypeVar("F", bound=Callable[..., object])

_server_option = click.option(
    "--server",
    metavar="URL",
    expose_value=False,
    callback=remember,
    help="Ask a running server instead: http://HOST:PORT, https://HOST:PORT or unix:/PATH; the "
    "token is MDSVC_TOKEN, or in the file MDSVC_TOKEN_FILE. [env: MDSVC_SERVER]",
)


def where_options(command: F) -> F:
    """--store and --server."""
    return store_option(_server_option(command))


def operator() -> Operator:
    """Whoever does what is asked for: by --store or --server, else by MDSVC_SERVER or MDSVC_STORE,
    in this order. Raises UsageError where both options are given.
    """
    asked = server()
    if asked is not None:
        return asked
    from mdsvc.operating.local import Local

    return Local(settings({}).store)


def server() -> Operator | None:
    """The running server that is to be asked; None where a store is to be opened. Raises
    UsageError.
    """
    store, url = remembered("store"), remembered("server")
    if store is not None and url is not None:
        raise click.UsageError("expected one of --store and --server, not both")
    if store is None and url is None:
        url = os.environ.get("MDSVC_SERVER") or None
    if url is None:
        return None
    from mdsvc.operating.remote import Remote

    return Remote(url, os.environ)
