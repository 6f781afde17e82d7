"""The command line, before there is anything behind it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from mdguest import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_BUILT = "mdguest is not built yet: no command does anything so far."

TO_COME = {
    "plan": "show what apply would change",
    "apply": "isolate the dedicated CPUs",
    "verify": "check that they are isolated",
    "undo": "take back what apply changed",
    "status": "show the layout and the guest's state",
    "watch": "follow changes of the layout",
    "run": "start a program on chosen CPUs",
    "render": "print configuration for other tools",
    "measure": "measure how quiet the dedicated CPUs are",
    "doctor": "find what stands in the way of isolation",
}


def parser() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:<9} {does}" for name, does in TO_COME.items())
    parser = argparse.ArgumentParser(
        prog="mdguest",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=NOT_BUILT,
        epilog=f"commands to come:\n{commands}",
    )
    parser.add_argument("--version", action="version", version=f"mdguest {__version__}")
    parser.add_argument("command", choices=TO_COME, metavar="command")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    command = parser().parse_args(arguments).command
    print(f"mdguest: not implemented yet: {command}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
