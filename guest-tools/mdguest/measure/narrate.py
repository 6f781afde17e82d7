"""Progress on stderr: one line written over on a terminal, a line for each phase elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType


class Narrator:
    """A ``progress`` for measure(); as a context manager it leaves the line empty."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._said = ""

    def __enter__(self) -> Narrator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def __call__(self, phase: str, done: float) -> None:
        if self._terminal:
            self._stream.write(f"\r\x1b[K{phase} {done:4.0%}")
        elif phase != self._said:
            self._stream.write(f"{phase}\n")
        self._said = phase
        self._stream.flush()
