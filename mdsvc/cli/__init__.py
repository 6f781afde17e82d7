"""The operator's command: arguments to a use of the parts below, and no rules of its own.

Each command, and each group of commands, is a module or a package of its name with its ``command``,
and a line in a table.
"""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

import click

from mdsvc import __version__
from mdsvc.cli.loading import Commands, later
from mdsvc.terminal.console import examples, run

COMMANDS = {
    "audit": "Find what is wrong with the CPUs of a fleet that somebody else placed.",
    "completion": "Print the script that completes mdsvc's arguments in your shell.",
    "db": "Look after the store's database.",
    "demo": "See it work: real hosts, guests placed, and a real cloud-init that learns its CPUs.",
    "doctor": "Replay real guests' boots against a metadata service, and say what each learns "
    "of its CPUs.",
    "fit": "Answer what-if questions: JSON lines in, one JSON line out for each.",
    "hook": "Follow the guests of a plain libvirt host as they start and end.",
    "host": "Register hosts, and see what is used of them.",
    "instance": "Place guests, and see where they are.",
    "serve": "Run the server until SIGTERM.",
    "token": "Tokens for the operator's API.",
}


@click.group(
    cls=Commands,
    commands=later(__name__, COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "mdsvc demo                              see all of it work, in a minute",
        "mdsvc host import h1 --local --shared 0 --dedicated 1-3",
        "mdsvc instance create guest.json        place a guest; prints where it is",
        "mdsvc serve --guest 169.254.169.254:80  answer guests",
        "mdsvc fit what-if.jsonl                 would it fit? touches no store",
    ),
)
@click.version_option(__version__, prog_name="mdsvc")
def cli() -> None:
    """The instance metadata service for guests whose CPUs matter.

    Results are on stdout, messages on stderr. Exit codes: 0 done, 2 bad usage or input, 3 refused
    (does not fit, conflict), 4 not found, 1 anything else.
    """


MANY = 200_000
"""Objects that are made before cycles among them are looked for. Imports make most of those that a
command ever makes, and all of these stay: to look through them again and again costs a quarter of a
short command's time. ``serve`` takes Python's own number again.
"""


def main() -> NoReturn:
    """The ``mdsvc`` command."""
    gc.set_threshold(MANY)
    code = run(cli)
    gc.freeze()  # the end of a process looks through all objects once more, to no purpose here
    sys.exit(code)
