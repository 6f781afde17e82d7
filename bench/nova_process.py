"""Nova's own fitter in a process of its own, where `make setup-tests` has installed Nova."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
PYTHON = REPOSITORY / ".venv-nova/bin/python"
SCRIPT = Path(__file__).parent / "nova/fitter.py"


class Nova:
    """A running `nova/fitter.py`. Answers come in the order of the questions."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._stdin, self._stdout = process.stdin, process.stdout

    def ask(self, op: str, **question: object) -> dict[str, Any]:
        """Send one question and wait for its answer."""
        self.send(op, **question)
        return self.answer()

    def send(self, op: str, **question: object) -> None:
        """Send one question, whose answer is waited for later."""
        self._stdin.write(json.dumps({"op": op, **question}) + "\n")
        self._stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest question that has none yet."""
        found: dict[str, Any] = json.loads(self._stdout.readline())
        return found


@contextmanager
def nova() -> Iterator[Nova | None]:
    """Nova, or None where it is not installed."""
    if not PYTHON.exists():
        yield None
        return
    with subprocess.Popen(
        [PYTHON, "-E", "-s", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Nova(process)
