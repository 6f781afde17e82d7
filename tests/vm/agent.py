"""The host's end of the agent's port: requests and answers, one JSON line each."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any


class GuestError(AssertionError):
    """The guest did not do what it was asked to."""


class Silent(GuestError):
    """The guest gave no answer in time, or is gone."""


class Agent:
    """Asks one thing after the other; from several threads, they take turns."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._waiting = b""
        self._number = 0
        self._turn = threading.Lock()

    def close(self) -> None:
        self._end.close()

    def send(self, do: str, **arguments: Any) -> int:
        """Ask without waiting for an answer."""
        self._number += 1
        request = {"number": self._number, "do": do, **arguments}
        try:
            self._end.settimeout(60)
            self._end.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise Silent(f"the guest takes no request: {error}") from error
        return self._number

    def ask(self, do: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        with self._turn:
            number, deadline = self.send(do, **arguments), time.monotonic() + timeout
            # an answer that comes too late for its own request is passed over
            while (answer := self._receive(deadline))["number"] != number:
                pass
        if "error" in answer:
            raise GuestError(f"{do}: {answer['error']}")
        return answer

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._waiting:
            try:
                self._end.settimeout(max(0.01, deadline - time.monotonic()))
                received = self._end.recv(65536)
            except OSError as error:
                raise Silent(f"no answer: {error}") from error
            if not received:
                raise Silent("no answer: the machine has ended")
            self._waiting += received
        line, self._waiting = self._waiting.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer
