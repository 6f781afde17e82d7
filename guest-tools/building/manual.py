"""Writes mdguest(8) to stdout: the prose of mdguest.8.in, and tables of the program's own.

What the program says of itself has one place, so that the manual cannot differ from it. A line
``.@NAME@`` of the prose is where ``SECTIONS[NAME]`` goes.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mdguest import __version__
from mdguest.help import COMMANDS, Command, Option
from mdguest.render import RENDERERS
from mdguest.status import METRICS

PROSE = Path(__file__).with_name("mdguest.8.in")
_SPECIAL = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}


def text(plain: str) -> str:
    """Plain text, as a line or lines for roff: what it takes for its own is escaped."""
    escaped = "".join(_SPECIAL.get(letter, letter) for letter in plain)
    return re.sub(r"^\.", r"\\\&.", escaped, flags=re.MULTILINE)


def bold(plain: str) -> str:
    return rf"\fB{text(plain)}\fR"


def italic(plain: str) -> str:
    return rf"\fI{text(plain)}\fR"


def commands() -> Iterator[str]:
    common = _common()
    for name, command in COMMANDS.items():
        yield f".SS {_synopsis(name, command)}"
        yield text(command.about)
        for option in command.options:
            if option not in common:
                yield from _entry(_shown(option), option[1]["help"])
        shared = [bold(option[0][0]) for option in command.options if option in common]
        yield from (".PP", f"Common options: {', '.join(shared)}.") if shared else ()
        yield from (".PP", "Examples:" if len(command.examples) > 1 else "Example:", ".RS 4", ".EX")
        yield from map(text, command.examples)
        yield from (".EE", ".RE")


def _common() -> list[Option]:
    """The options that several commands have, alike in each."""
    every = [option for command in COMMANDS.values() for option in command.options]
    return [option for at, option in enumerate(every) if option in every[:at]]


def common() -> Iterator[str]:
    told: list[Option] = []
    for option in _common():
        if option not in told:
            told.append(option)
            yield from _entry(_shown(option), option[1]["help"])


def _synopsis(name: str, command: Command) -> str:
    """``mdguest run [options] -- CMD``: operands stand behind the options."""
    operands = [option for option in command.options if not option[0][0].startswith("-")]
    return " ".join((bold(f"mdguest {name}"), r"[\fIoptions\fR]", *map(_shown, operands)))


def _shown(option: Option) -> str:
    """``--json``, or ``--source SOURCE``, or ``--prometheus [FILE]``, or ``WHAT``."""
    names, settings = option
    value = italic(settings["metavar"]) if "metavar" in settings else ""
    if not names[0].startswith("-"):
        return value
    if settings.get("nargs") == "?":
        value = f"[{value}]"
    return ", ".join(" ".join(filter(None, (bold(name), value))) for name in names)


def _entry(term: str, meaning: str) -> Iterator[str]:
    yield from (".TP", term, text(meaning))


def _table(rows: dict[str, str]) -> Iterator[str]:
    for term, meaning in rows.items():
        yield from _entry(bold(term), meaning)


def _renders() -> Iterator[str]:
    return _table({name: renderer.summary for name, renderer in RENDERERS.items()})


SECTIONS = {
    "COMMANDS": commands,
    "COMMON": common,
    "METRICS": lambda: _table(METRICS),
    "RENDERS": _renders,
}


def manual(prose: str, epoch: int) -> str:
    """The whole page, in man(7)'s macros."""
    date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
    prose = prose.replace("@VERSION@", __version__).replace("@DATE@", date)
    lines: list[str] = []
    for line in prose.splitlines():
        section = re.fullmatch(r"\.@(\w+)@", line)
        lines += SECTIONS[section[1]]() if section else [line]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(manual(PROSE.read_text(), int(os.environ["SOURCE_DATE_EPOCH"])))
