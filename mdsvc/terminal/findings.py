"""The findings of an audit, as plain text to be pasted into a ticket: no wider than WIDTH."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from mdsvc.auditing import Finding
from mdsvc.auditing.facts import MOST_NAMED
from mdsvc.terminal.tables import columns
from mdsvc.terminal.words import Printable, plain

WIDTH = 78


def findings_report(findings: Sequence[Finding]) -> Printable:
    """A line for each of them, then each in words; nothing where there is none."""
    if not findings:
        return Printable()
    table = columns(">#!", "fault!", "host", "pCPUs", "guests")
    table.width = WIDTH
    for number, each in enumerate(findings, start=1):
        cpus = str(each.cpus) or "-"
        table.add_row(f"{number}", each.code, plain(each.host), cpus, plain(_some(each.guests)))
    return Printable(table, *(plain(line) for line in _words(findings)))


def _some(guests: Sequence[str]) -> str:
    """So many as a table bears; ``--json`` has them all."""
    more = f" and {len(guests) - MOST_NAMED} more" if len(guests) > MOST_NAMED else ""
    return f"{', '.join(guests[:MOST_NAMED])}{more}" or "-"


def _words(findings: Sequence[Finding]) -> Iterator[str]:
    for number, each in enumerate(findings, start=1):
        yield ""
        yield from _wrapped(f"{number}. ", f"{each.code} on {each.host}: {each.detail}.")
        yield from _wrapped("   Mend: ", f"{each.mend}.")


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent="   ")
