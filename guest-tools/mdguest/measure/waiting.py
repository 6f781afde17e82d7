"""Processes of ours that wait for a word before they begin, so that they can be placed first."""

from __future__ import annotations

import contextlib
import os
import pkgutil
import subprocess
import sys

WAIT_IN_SHELL = 'read -r word && exec "$@"'
"""What makes a program wait that knows nothing of it."""


class Waiting:
    """A process in a session of its own: a Ctrl-C in the terminal reaches us and not it.

    Its standard input is a pipe from us, which ends with us.
    """

    def __init__(self, command: list[str]) -> None:
        """Start it. Raises OSError where that cannot be done."""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self.pid = self._process.pid

    def go(self, word: str = "go") -> None:
        """Say the word; a process that is gone already will be noticed by its answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()

    def answer(self, timeout: float) -> tuple[int, str]:
        """Its exit status and all that it printed; status 124 where it takes longer."""
        try:
            out, _ = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return 124, f"no answer within {timeout:g} s"
        return self._process.returncode, out

    def stop(self) -> None:
        """End it, if it has not ended, and wait until it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError), self._process:
            pass


def probe_command() -> list[str]:
    """The command line of a probe: its text is read from the package, also inside a zipapp."""
    text = pkgutil.get_data("mdguest.measure", "busy.py")
    assert text is not None
    return [sys.executable, "-I", "-S", "-c", text.decode(), str(os.getpid())]


def gated(command: list[str]) -> list[str]:
    """The command line of any program that is to wait for a word."""
    return ["/bin/sh", "-c", WAIT_IN_SHELL, "sh", *command]
