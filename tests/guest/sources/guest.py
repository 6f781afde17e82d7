"""A guest of files in a dict and programs that only pretend, and what goes into its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mdguest.system import Ran, System
from typing_extensions import override

META_DATA = "openstack/latest/meta_data.json"
INSTANCE = "/run/cloud-init/instance-data.json"
SENSITIVE = "/run/cloud-init/instance-data-sensitive.json"


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@dataclass
class FakeGuest(System):
    """A file that is an exception fails with it; a program that is not known is not there."""

    files: dict[str, bytes | OSError] = field(default_factory=dict)
    programs: dict[str, Callable[..., Ran]] = field(default_factory=dict)
    ran: list[tuple[str, ...]] = field(default_factory=list)

    @override
    def read_bytes(self, path: str, limit: int) -> bytes:
        found = self.files.get(path, FileNotFoundError(2, "No such file or directory"))
        if isinstance(found, OSError):
            raise found
        return found[:limit]

    @override
    def read(self, path: str) -> str:
        return self.read_bytes(path, 1 << 20).decode().rstrip("\n")

    @override
    def exists(self, path: str) -> bool:
        folder = path[:-1] if path.endswith("/.") else f"{path}/"
        there = path in self.files and not path.endswith("/.")
        return there or any(file.startswith(folder) for file in self.files)

    @override
    def run(self, *command: str, timeout: float = 30.0) -> Ran:
        self.ran.append(command)
        program = self.programs.get(command[0])
        return program(*command) if program else Ran(127, "", f"{command[0]}: not found")
