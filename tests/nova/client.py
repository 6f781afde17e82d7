"""Ask Nova from the project's tests: the oracle as a context manager."""

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

Json: TypeAlias = dict[str, Any]

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".venv-nova/bin/python"
SCRIPT = Path(__file__).with_name("oracle.py")


class OracleUnavailable(RuntimeError):
    """Nova cannot be asked: it is not installed, or its process ended."""


class Oracle:
    """A running `oracle.py`. Answers come in the order of the questions, one for each."""

    def __init__(self) -> None:
        if not PYTHON.exists():
            raise OracleUnavailable(f"no {PYTHON.relative_to(REPOSITORY)}: run make setup-tests")
        # -E -s: with the tests on PYTHONPATH this folder would pass for the package `nova`.
        self._process = subprocess.Popen(
            [PYTHON, "-E", "-s", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.__exit__(kind, error, trace)

    def flavor(self, flavor: Json, image: Json | None = None) -> Json:
        """Return the topology that Nova derives, or `{"ok": false}` with its error."""
        return self.ask({"op": "flavor", "flavor": flavor, "image": image or {}})

    def documents(
        self,
        instance: Json,
        cells: list[Json] | None = None,
        vendor_data: Json | None = None,
        **more: Any,
    ) -> Json:
        """Return every answer of Nova's metadata API for this guest.

        `more`: `paths` to ask beside the known ones, and `ec2` ids (`{"instance_id": …}`).
        """
        request = {"instance": instance, "cells": cells, "vendor_data": vendor_data, **more}
        answer = self.ask({"op": "documents", **request})
        if not answer["ok"]:
            raise ValueError(f"{answer['error']}: {answer['message']}")
        return answer

    def domains(self, host: Json, guests: list[Json]) -> list[str | None]:
        """Return the domain of each guest as Nova places it; `None` for one that does not fit."""
        answer = self.ask({"op": "domains", "host": host, "guests": guests})
        if not answer["ok"]:
            raise ValueError(f"{answer['error']}: {answer['message']}")
        domains: list[str | None] = answer["domains"]
        return domains

    def ask(self, request: Json) -> Json:
        """Send one request line and return its answer."""
        line = self._exchange(json.dumps(request))
        if not line:
            raise OracleUnavailable(f"the oracle ended with status {self._process.wait()}")
        answer: Json = json.loads(line)
        return answer

    def _exchange(self, line: str) -> str:
        assert self._process.stdin  # it is a pipe, and so is stdout
        assert self._process.stdout
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline()
