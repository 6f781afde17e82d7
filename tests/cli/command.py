"""The command `mdsvc`, run in this process or as a real one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mdsvc.cli import cli
from mdsvc.terminal.console import run

ROOT = Path(__file__).parents[2]
MDSVC = Path(sys.executable).with_name("mdsvc")
"""The command of the environment that runs the tests."""


@dataclass(frozen=True)
class Done:
    """What a command has left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON documents of stdout, one a line."""
        assert not self.out or self.out.endswith("\n")
        return [json.loads(line) for line in self.out.split("\n")[:-1]]


def environment(**more: str) -> dict[str, str]:
    """This process' environment, without any setting of `mdsvc` and without a width."""
    ours = {name for name in os.environ if name.startswith("MDSVC_")} | {"COLUMNS"}
    return {**{name: os.environ[name] for name in os.environ.keys() - ours}, **more}


def encoded(document: object) -> bytes:
    """A document as the bytes of its JSON; bytes are taken as they are."""
    return document if isinstance(document, bytes) else json.dumps(document).encode()


class Mdsvc:
    """Runs the command on one store, in this process: faithful, and quick.

    With a ``server``, which is started by the first command, the store is the server's alone.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, url: str, server: Callable[[], str] | None = None
    ) -> None:
        self._patch = patch
        self._server = server
        self.url = url
        for name in os.environ.keys() - environment().keys():
            patch.delenv(name)
        patch.setenv("MDSVC_STORE", url)

    def __call__(self, *args: str, stdin: object = b"") -> Done:
        streams = {name: _stream(data) for name, data in _given(encoded(stdin)).items()}
        with self._patch.context() as patch:
            if self._server:
                patch.setenv("MDSVC_SERVER", self._server())
            patch.setattr(sys, "argv", ["mdsvc", *args])
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            code = run(cli)
        return Done(code, _written(streams["stdout"]), _written(streams["stderr"]))


def _given(stdin: bytes) -> dict[str, bytes]:
    return {"stdin": stdin, "stdout": b"", "stderr": b""}


def _stream(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def process(*args: str, stdin: object = b"", **env: str) -> Done:
    """Run it as a real process, with these variables."""
    done = subprocess.run(
        [str(MDSVC), *args],
        input=encoded(stdin),
        env=environment(**env),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())
