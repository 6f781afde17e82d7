"""``mdsvc instance``: a module for each of its commands."""

from __future__ import annotations

import click

from mdsvc.cli.loading import Commands, later
from mdsvc.terminal.console import examples

COMMANDS = {
    "config-drive": "Write what a guest is served as a config drive, an ISO 9660 image labelled "
    "config-2.",
    "create": "Place the guest that FILE describes in JSON (- reads stdin), and print it with its "
    "layout.",
    "delete": "Remove a guest, and free what it used.",
    "import": "Take in guests that run on a registered host, with their CPUs as they run.",
    "list": "List the guests with their CPUs.",
    "lock": "Close a guest's user data at once, so that nothing in it can read them any more.",
    "migrate": "Move a guest to another host, and print it with its layout there.",
    "password": "Print the encrypted password that a guest has stored, byte for byte as it sent "
    "it.",
    "rebuild": "Let a guest begin a new life, and print it with its layout.",
    "resize": "Give a guest the flavor that FILE describes in JSON (- reads stdin), and print it.",
    "show": "Show a guest and its layout.",
    "xml": "Print a guest as a libvirt domain, pinned to where it is.",
}

UUID = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"
"""In examples."""


@click.group(
    cls=Commands,
    commands=later(__name__, COMMANDS),
    epilog=examples("mdsvc instance create guest.json", "mdsvc instance list"),
)
def command() -> None:
    """Place guests, and see where they are."""
