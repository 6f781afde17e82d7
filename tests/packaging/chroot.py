"""A directory with a Debian in it, and commands that are run there."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
"""The checkout."""

ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND": "noninteractive",
    "LC_ALL": "C.UTF-8",
}


@dataclass(frozen=True)
class Chroot:
    root: Path

    def run(self, *command: str, stdin: object = None, code: int = 0) -> str:
        """What a command says, which ends with this exit code."""
        done = subprocess.run(
            ("chroot", self.root, *command), env=ENVIRONMENT, text=True, check=False,
            input="" if stdin is None else json.dumps(stdin), timeout=600,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def json(self, *command: str, stdin: object = None) -> Any:
        return json.loads(self.run(*command, stdin=stdin))

    def install(self, *options: str) -> str:
        return self.run("dpkg", *options, "-i", "/mdsvc.deb")

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")
