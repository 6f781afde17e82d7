"""Commands that are loaded when they are called: what one needs, the others do not wait for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from keyword import iskeyword

import click

from mdsvc.override import override


class Later(click.Command):
    """A command's name and the line that lists it, and where the rest is."""

    def __init__(self, name: str, module: str, line: str) -> None:
        super().__init__(name, help=line)
        self.module = module

    def load(self) -> click.Command:
        """The command itself."""
        command: click.Command = import_module(self.module).command
        return command


def later(package: str, lines: Mapping[str, str]) -> dict[str, click.Command]:
    """The commands of these names, each the ``command`` of a module of the package.

    ``db migrate-layouts`` is in ``db/migrate_layouts.py``, and ``host import`` in
    ``host/import_.py``, as the word alone is Python's. A line is the first of the command's help.
    """
    return {name: Later(name, f"{package}.{_module(name)}", line) for name, line in lines.items()}


def _module(name: str) -> str:
    return f"{name}_" if iskeyword(name) else name.replace("-", "_")


class Commands(click.Group):
    """A group of commands of which the one that is called is loaded."""

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Later) else command, rest
