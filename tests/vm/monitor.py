"""QEMU's own monitor: as much as it takes to keep a machine in a file, and to go on from there."""

from __future__ import annotations

import json
import shlex
import socket
import time
from pathlib import Path
from typing import Any

SECONDS = 120


class MonitorError(RuntimeError):
    """QEMU refuses, or is gone."""


class Monitor:
    """Speaks QMP, of which it skips the events."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(SECONDS)
        self._end = end
        self._lines = end.makefile("rb")

    def close(self) -> None:
        self._lines.close()
        self._end.close()

    def save(self, file: Path) -> None:
        """Halt the machine, and write its memory and devices."""
        self._command("stop")
        self._command("migrate", uri=f"exec:cat >{shlex.quote(str(file))}")
        self._until_state("query-migrate", "completed")

    def resume(self) -> None:
        """Go on, once all has been read."""
        self._until_state("query-status", "paused")
        self._command("cont")

    def _until_state(self, question: str, wanted: str) -> None:
        deadline = time.monotonic() + SECONDS
        while (status := self._command(question).get("status")) != wanted:
            if status == "failed" or time.monotonic() > deadline:
                raise MonitorError(f"{question}: {status}")
            time.sleep(0.02)

    def _command(self, name: str, **arguments: str) -> dict[str, Any]:
        answer = self._ask(name, arguments)
        if "error" in answer and answer["error"]["class"] == "CommandNotFound":
            self._ask("qmp_capabilities", {})  # which every conversation begins with
            answer = self._ask(name, arguments)
        if "error" in answer:
            raise MonitorError(f"{name}: {answer['error']['desc']}")
        result: dict[str, Any] = answer["return"]
        return result

    def _ask(self, name: str, arguments: dict[str, str]) -> dict[str, Any]:
        try:
            self._end.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
            while line := self._lines.readline():
                answer: dict[str, Any] = json.loads(line)
                if "return" in answer or "error" in answer:
                    return answer
        except OSError as error:
            raise MonitorError(f"{name}: {error}") from error
        raise MonitorError(f"{name}: QEMU has ended")
