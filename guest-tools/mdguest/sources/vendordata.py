"""Vendor data: what the cloud's operator adds to Nova's metadata, of which ``mdsvc`` is a part.

Nova asks the operator's own server for it at each reading, and puts the answer under that server's
name into ``vendor_data2.json``; on a config drive that was once, when the guest was started. A
server that did not answer has left an empty object, which says nothing. cloud-init has a name of
its own there, whose text is nothing for us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.errors import Unavailable, Unreachable
from mdguest.layout import Layout
from mdguest.sources import config_drive, metadata
from mdguest.sources.documents import VENDOR_DATA, json_object, layout_of
from mdguest.sources.server import URL_FORM, Server

if TYPE_CHECKING:
    from mdguest.sources.client import Client
    from mdguest.sources.patience import Patience
    from mdguest.system import System

NAME = "vendordata"
FORM = f"{NAME}[:{URL_FORM}|:/DEVICE]"
PART = "mdsvc"
"""The name of our part, which the operator gives in ``vendordata_dynamic_targets``."""


def check(argument: str) -> None:
    """Raise BadInput where the argument is neither a URL nor an absolute path."""
    if argument and not _is_device(argument):
        Server.parse(argument, NAME)


def read(argument: str, system: System, patience: Patience) -> Layout:
    """What the server says, or where there is none a config drive."""
    if _is_device(argument):
        return _on_drive(argument, system)
    try:
        return metadata.fetch(argument, system, patience, _over_http)
    except Unavailable:
        raise
    except Unreachable as error:
        if argument:
            raise
        try:
            return _on_drive("", system)
        except Unavailable:
            raise
        except Unreachable as drives:
            raise Unreachable(f"{error}; {drives}") from None


def beside(source: str) -> str:
    """The vendor data beside a source's own document; empty where there is none such."""
    name, _, argument = source.partition(":")
    has = name in (config_drive.NAME, metadata.NAME) and argument
    return f"{NAME}:{argument}" if has else ""


def _is_device(argument: str) -> bool:
    return argument.startswith("/")


def _over_http(client: Client) -> Layout:
    path = f"/{VENDOR_DATA}"
    return _part(client.get(path), f"{client.server}{path}", f"{NAME}:{client.server}")


def _on_drive(argument: str, system: System) -> Layout:
    device = config_drive.device(argument, system)
    where, data = config_drive.document(device, VENDOR_DATA, system)
    return _part(data, where, f"{NAME}:{device}")


def _part(data: bytes | None, where: str, source: str) -> Layout:
    """Our part of the document; what is none of ours says nothing."""
    part = None if data is None else json_object(data, where, f'with "{PART}"').get(PART)
    if not isinstance(part, dict):
        return Layout(None, source)
    return layout_of(part, f"{where}, {PART}", source)
