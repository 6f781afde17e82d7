"""Plain files, and finding one's way among all of the guest's files."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from typing import NamedTuple

from tests.guest.fake.tasks import failure


class Node(NamedTuple):
    """A file of the kernel's. A hidden one can be opened, but is not listed."""

    read: Callable[[], str]
    write: Callable[[str], None] | None = None
    hidden: bool = False


@dataclass
class Disk:
    """Files and folders on a disk or in /run. ``version`` counts what comes and goes."""

    files: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    version: int = 0

    def put(self, path: str, text: str) -> None:
        if path not in self.files:
            self.version += 1
            self.folders |= set(parents(path))
        self.files[path] = text

    def mkdir(self, path: str) -> None:
        self.folders |= {path, *parents(path)}
        self.version += 1

    def remove(self, path: str) -> None:
        self.version += 1
        if path in self.files:
            del self.files[path]
        elif path in self.folders:
            if any(parents(other)[0] == path for other in (*self.files, *self.folders)):
                raise failure(errno.ENOTEMPTY, path)
            self.folders.remove(path)

    def below(self, folder: str) -> list[str]:
        return sorted(path for path in self.files if path.startswith(f"{folder}/"))


@cache
def parents(path: str) -> tuple[str, ...]:
    """The folders above, nearest first."""
    parts = path.split("/")[:-1]
    return tuple("/".join(parts[:count]) or "/" for count in range(len(parts), 0, -1))


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(translate(text))


class Listing:
    """Some paths, by folder."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._names: dict[str, set[str]] = {}
        for path in paths:
            self._add(path)

    def _add(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        known = folder in self._names
        self._names.setdefault(folder, set()).add(name)
        if folder and not known:
            self._add(folder)

    def names(self, folder: str) -> set[str]:
        return self._names.get(folder, set())


class Index:
    """Every path there is: the kernel's and those on disks."""

    def __init__(self, nodes: dict[str, Node], disk: Disk) -> None:
        self.nodes = nodes
        self._kernel = Listing(path for path, node in nodes.items() if not node.hidden)
        self._disk = disk
        self._version, self._plain = -1, Listing(())
        self._found: dict[str, list[str]] = {}

    def _look(self) -> None:
        """Forget what was found, if files have come or gone."""
        if self._version != self._disk.version:
            self._version = self._disk.version
            self._plain = Listing((*self._disk.files, *self._disk.folders))
            self._found = {
                pattern: found
                for pattern, found in self._found.items()
                if pattern.startswith(("/sys/", "/proc/"))
            }

    def _names(self, folder: str) -> set[str]:
        return self._kernel.names(folder) | self._plain.names(folder)

    def exists(self, path: str) -> bool:
        path = path.removesuffix("/.")
        if path in self.nodes or path in self._disk.files:
            return True
        self._look()
        folder, _, name = path.rpartition("/")
        return name in self._kernel.names(folder) or name in self._plain.names(folder)

    def glob(self, pattern: str) -> list[str]:
        self._look()
        if pattern not in self._found:
            self._found[pattern] = self._search(pattern)
        return list(self._found[pattern])

    def _search(self, pattern: str) -> list[str]:
        found = [""]
        for part in pattern.strip("/").split("/"):
            found = [f"{folder}/{name}" for folder in found for name in self._match(folder, part)]
        return sorted(found)

    def _match(self, folder: str, part: str) -> Iterable[str]:
        names = self._names(folder)
        if not _MAGIC.search(part):
            return [part] if part in names else []
        match = _pattern(part).match
        return [name for name in names if match(name) and not name.startswith(".")]


_MAGIC = re.compile(r"[*?\[]")
