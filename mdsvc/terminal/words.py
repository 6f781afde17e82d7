"""Foreign text in a terminal, and what makes any output able to show what is written."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.segment import Segment
from rich.text import Text

from mdsvc.override import override

_ASCII = str.maketrans("…·→×─│╭╮╰╯▒\ufffd", ".->x-|++++#?")


class Printable(Group):
    """Renderables, with ASCII in place of what the output's encoding lacks."""

    @override
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, control in console.render(Group(*self.renderables), options):
            yield Segment(_encodable(text, options.encoding), style, control)


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        known = text.translate(_ASCII)
        return "".join(c if c.isascii() else "?" * cell_len(c) for c in known)
    return text


def plain(text: str, style: str = "") -> Text:
    """Foreign text as it is, with nothing in it that rich or a terminal would act on."""
    return Text("".join(c if c.isprintable() else "\ufffd" for c in text), style)
