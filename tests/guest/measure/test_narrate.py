"""Progress, on a terminal and elsewhere."""

from __future__ import annotations

import io

from mdguest.measure import Narrator
from typing_extensions import override


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_for_each_phase() -> None:
    stream = io.StringIO()
    with Narrator(stream) as progress:
        for done in (0.0, 0.5):
            progress("starting probes", done)
        progress("measuring", 0.0)
    assert stream.getvalue() == "starting probes\nmeasuring\n"


def test_a_terminal_has_one_line_that_is_gone_in_the_end() -> None:
    stream = Terminal()
    with Narrator(stream) as progress:
        progress("measuring", 0.0)
        progress("measuring", 0.25)
    assert "\n" not in stream.getvalue()
    assert "measuring  25%" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")
