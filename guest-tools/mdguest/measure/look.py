"""What the terminal can show, and the pictures that are made of characters."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH_OF_A_FILE = 120
"""How wide to write where nobody's terminal sets a limit."""

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", ".:-=+*%#"
PLAIN = str.maketrans({"µ": "u", "×": "x", "–": "-", "∞": "inf"})
COLOURS = {"bold": "1", "green": "32", "dim": "2"}


@dataclass(frozen=True)
class Look:
    """How to write for one reader."""

    width: int = WIDTH_OF_A_FILE
    unicode: bool = True
    colour: bool = False

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str]) -> Look:
        """What suits this stream: colour only on a terminal, and not where NO_COLOR is set."""
        terminal = stream.isatty()
        return cls(
            width=shutil.get_terminal_size().columns if terminal else WIDTH_OF_A_FILE,
            unicode=_can_write(stream, BARS + "µ×–∞"),
            colour=terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
        )

    def text(self, text: str) -> str:
        """The text in characters that can be written."""
        return text if self.unicode else text.translate(PLAIN)

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.colour and text else text

    def sparkline(self, counts: Sequence[int]) -> str:
        """A column for each count, its height by the count's number of digits."""
        bars = BARS if self.unicode else ASCII_BARS
        heights = [min(len(str(count)), len(bars)) if count else 0 for count in counts]
        return "".join(bars[height - 1] if height else " " for height in heights).rstrip()

    def bar(self, value: float, most: float, width: int) -> str:
        """A bar as long as the value's logarithm, so that 3 can be seen beside 3000."""
        if value <= 0 or most <= 0:
            return ""
        length = max(1, round(width * math.log1p(value) / math.log1p(most)))
        return ("█" if self.unicode else "#") * length


def _can_write(stream: TextIO, text: str) -> bool:
    """Whether the stream's encoding has these characters."""
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def rows(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of right-aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*cells)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths)).rstrip() for row in cells
    ]
