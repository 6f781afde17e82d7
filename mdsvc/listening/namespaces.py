"""Network namespaces, found and followed as they come and go, in a thread of its own.

Which namespace a thread is in is the thread's own matter, and a socket stays where it was made. So
one thread goes from one to the other, and leaves listeners behind, at which the event loop answers.
It also asks the kernel there who the neighbours are, as the kernel may take long to say.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import select
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from mdsvc.errors import BadInput, Unavailable, Unresolved
from mdsvc.listening.files import most_files, raise_limit
from mdsvc.listening.namespace import IPV4, IPV6, Listener, Namespace, Wanted
from mdsvc.listening.neighbours import mac_of
from mdsvc.override import override

DIRECTORY = Path("/run/netns")
"""Where named namespaces are, as ip-netns(8) makes them."""

_LOOK_SECONDS = 1.0
"""How often to look, whatever is told."""

_SOONEST_SECONDS = 0.02
"""How soon after a look to look again; a namespace's file is there before the namespace is."""

_SHARE = 0.75
"""Of the open files, that namespaces may take: the others are guests' connections, and the rest."""

_RESOLVE_SECONDS = 1.0
_AGAIN_SECONDS = 0.05
"""For how long, and how often, to ask for a neighbour that the kernel is still looking for."""

_log = logging.getLogger(__name__)


class Change(NamedTuple):
    """A listener that is there, or not any more: its socket is whoever's who gets this."""

    listener: Listener
    is_open: bool


class _Question(NamedTuple):
    listener: Listener
    ip: str
    answer: asyncio.Future[str | None]
    until: float


class Namespaces:
    """The thread, as the event loop sees it."""

    def __init__(self, wanted: Wanted, directory: Path = DIRECTORY) -> None:
        """Raises BadInput where this process may not do it."""
        check_allowed(wanted)
        raise_limit()
        self._wanted = wanted
        self._directory = directory
        self._namespaces: dict[str, Namespace] = {}
        self._by_file: dict[int, Namespace] = {}
        self._questions: deque[_Question] = deque()
        self._changes: asyncio.Queue[Change | None] = asyncio.Queue()
        self._due: set[str] = set()
        self._complaints: dict[str, str] = {}
        self._is_stopping = False
        self._last_look = self._next_look = 0.0

    @override
    def __str__(self) -> str:
        """Where it listens, and in how many."""
        names = [*self._wanted.named, *([f"{self._wanted.prefix}*"] if self._wanted.prefix else [])]
        where = f"http://{IPV4}:80 and http://[{IPV6}]:80 in namespaces {', '.join(names[:10])}"
        return f"{where}{' …' if len(names) > 10 else ''}; now in {len(self._namespaces)}"

    def count(self) -> int:
        """How many there are."""
        return len({*self._namespaces, *self._complaints})

    def failing(self) -> int:
        """In how many of them not all is listened on that is to be."""
        return len(self._complaints)

    # ---- the event loop's side ----

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Within the block they are; it begins when all that are there have been found."""
        self._loop = asyncio.get_running_loop()
        self._found = self._loop.create_future()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        thread = threading.Thread(target=self._run, name="netns", daemon=True)
        thread.start()
        try:
            await self._found
            yield
        finally:
            self._is_stopping = True
            os.eventfd_write(self._wake, 1)
            await asyncio.to_thread(thread.join)
            os.close(self._wake)
            while not self._changes.empty():
                if change := self._changes.get_nowait():
                    change.listener.sock.close()

    async def changes(self) -> AsyncIterator[Change]:
        """What changes, in order; it ends where namespaces are not followed any more."""
        while change := await self._changes.get():
            yield change
            self._changes.task_done()

    def stop_changes(self) -> None:
        """Let them end, after those that there are; what follows is nobody's any more."""
        self._changes.put_nowait(None)

    async def caught_up(self) -> None:
        """Return when whoever goes through the changes has done all that there are."""
        await self._changes.join()

    async def mac(self, listener: Listener, ip: str) -> str | None:
        """The MAC address of a peer of a listener; None where there is none that says who it is.

        Raises Unresolved where it cannot be found, Unavailable where nobody can look.
        """
        answer: asyncio.Future[str | None] = self._loop.create_future()
        self._questions.append(_Question(listener, ip, answer, monotonic() + _RESOLVE_SECONDS))
        os.eventfd_write(self._wake, 1)
        return await answer

    # ---- the thread's side ----

    def _run(self) -> None:
        try:
            with self._files():
                self._look()
                self._tell(_settle, self._found, None)
                while not self._is_stopping:
                    self._step()
                for name in list(self._namespaces):
                    self._leave(name)
        except OSError as error:
            self._tell(_settle, self._found, BadInput(f"netns: cannot follow namespaces: {error}"))
        finally:
            self._is_stopping = True
            self._answer()
            self._tell(self._changes.put_nowait, None)

    def _step(self) -> None:
        try:
            self._wait()
            self._answer()
            if monotonic() >= self._next_look:
                self._look()
            self._visit_due()
        except Exception as error:  # noqa: BLE001  # what befalls one is not to end all others
            _log.exception("namespaces: %s", error)
            sleep(_LOOK_SECONDS)

    @contextmanager
    def _files(self) -> Iterator[None]:
        """The namespace that the process is in, and what news come by."""
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with select.epoll() as self._poll:
                self._poll.register(self._wake, select.EPOLLIN)
                self._poll.register(self._mounts, select.EPOLLPRI)  # named namespaces are mounts
                yield
        finally:
            os.close(self._mounts)
            os.close(self._home)

    def _wait(self) -> None:
        now = monotonic()
        pause = self._next_look - now
        if self._questions:
            pause = min(pause, _AGAIN_SECONDS)
        for file, _ in self._poll.poll(max(0.0, pause)):
            if file == self._wake:
                os.eventfd_read(file)
            elif file == self._mounts:
                soonest = self._last_look + _SOONEST_SECONDS
                self._next_look = min(self._next_look, max(now, soonest))
            elif self._by_file[file].netlink.has_news():
                self._due.add(self._by_file[file].name)

    def _look(self) -> None:
        """Compare what there is with what there was; those that are gone make room first."""
        self._last_look = monotonic()
        self._next_look = self._last_look + _LOOK_SECONDS
        there, others = self._of_one_name(self._there())
        for name, namespace in list(self._namespaces.items()):
            if there.get(name) != namespace.inode:
                self._leave(name)
        self._due.update(name for name, space in self._namespaces.items() if space.trouble)
        names = there.keys() | others.keys()
        self._complaints = {name: of for name, of in self._complaints.items() if name in names}
        for name, first in others.items():
            self._complain(name, Unavailable(f"it is namespace {first}, and of that one's network"))
        for name, inode in there.items():
            if name not in self._namespaces and not self._is_stopping:
                self._enter(name, inode)
                self._answer()

    def _there(self) -> dict[str, int]:
        """The inodes of the namespaces that are wanted, by name."""
        here = Path("/proc/self/ns/net").stat().st_dev
        there = {}
        with suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            for entry in entries:
                if self._wanted.network_of(entry.name) is not None:
                    with suppress(OSError):
                        status = entry.stat()
                        if status.st_dev == here:  # else nothing is mounted on the file yet
                            there[entry.name] = status.st_ino
        return there

    def _of_one_name(self, there: dict[str, int]) -> tuple[dict[str, int], dict[str, str]]:
        """Each namespace once, as guests are of one network, and in all processes of the same; and
        the further names, with the one that holds: those that are set come first, then by letter.
        """
        firsts: dict[int, str] = {}
        for name in sorted(there, key=lambda name: (name not in self._wanted.named, name)):
            firsts.setdefault(there[name], name)
        others = {name: firsts[inode] for name, inode in there.items() if firsts[inode] != name}
        return {name: inode for inode, name in firsts.items()}, others

    def _enter(self, name: str, inode: int) -> None:
        network = self._wanted.network_of(name)
        assert network is not None, "only such are looked for"
        path = str(self._directory / name)
        try:
            namespace = Namespace(name, network, path, inode, self._home)
        except OSError as error:
            self._complain(name, error)
            return
        if namespace.netlink.fileno() > _SHARE * most_files():
            namespace.close(self._closed)
            self._complain(name, OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
            return
        self._namespaces[name] = self._by_file[namespace.netlink.fileno()] = namespace
        self._poll.register(namespace.netlink.fileno(), select.EPOLLIN)
        self._visit(namespace)

    def _visit_due(self) -> None:
        for name in list(self._due):
            self._answer()
            if namespace := self._namespaces.get(name):
                self._visit(namespace)
        self._due.clear()

    def _visit(self, namespace: Namespace) -> None:
        try:
            namespace.netlink.has_news()  # all that is told until now, the look itself sees
            namespace.refresh(self._opened, self._closed, self._wanted)
        except (OSError, Unavailable) as error:
            namespace.trouble = str(error)
            self._complain(namespace.name, error)
            return
        if namespace.trouble:
            _log.info("namespace %s: listening for network %s", namespace.name, namespace.network)
        namespace.trouble = ""
        self._complaints.pop(namespace.name, None)

    def _leave(self, name: str) -> None:
        namespace = self._namespaces.pop(name)
        self._poll.unregister(namespace.netlink.fileno())
        del self._by_file[namespace.netlink.fileno()]
        namespace.close(self._closed)
        _log.info("namespace %s: no longer listening for network %s", name, namespace.network)

    def _complain(self, name: str, error: Exception) -> None:
        """Once for each thing that is wrong; it is tried again at each look."""
        text = _HINTS.get(error.errno or 0, "") if isinstance(error, OSError) else ""
        if self._complaints.get(name) != str(error):
            self._complaints[name] = str(error)
            _log.error("namespace %s: cannot listen: %s%s", name, error, text)

    def _answer(self) -> None:
        """All questions that are there; those without an answer yet are kept for later."""
        unresolved: dict[tuple[Listener, str], Unresolved] = {}
        for _ in range(len(self._questions)):
            question = self._questions.popleft()
            asked = question.listener, question.ip
            try:
                if asked in unresolved:  # however often somebody who cannot be found asks
                    raise unresolved[asked]
                mac = self._mac(question)
            except Unresolved as error:
                unresolved[asked] = error
                if monotonic() < question.until and not self._is_stopping:
                    self._questions.append(question)
                else:
                    self._tell(_settle, question.answer, error)
            except Exception as error:  # noqa: BLE001  # whoever asks waits for an answer
                self._tell(_settle, question.answer, Unavailable(str(error)))
            else:
                self._tell(_settle, question.answer, mac)

    def _mac(self, question: _Question) -> str | None:
        namespace = question.listener.namespace
        if self._namespaces.get(namespace.name) is not namespace:
            raise Unavailable(f"namespace {namespace.name} is gone")
        link = question.listener.link
        try:
            return mac_of(namespace.netlink, question.ip, link, namespace.resolving)
        finally:
            if namespace.netlink.has_news():
                self._due.add(namespace.name)

    def _opened(self, listener: Listener) -> None:
        self._tell(self._changes.put_nowait, Change(listener, is_open=True))

    def _closed(self, listener: Listener) -> None:
        self._tell(self._changes.put_nowait, Change(listener, is_open=False))

    def _tell(self, what: Callable[..., object], *values: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(what, *values)


def _settle(future: asyncio.Future[Any], result: object) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)


_HINTS = {
    errno.EADDRINUSE: "; expected nobody else on port 80 there: see ip netns exec NAME ss -ltnp",
    errno.EMFILE: "; expected a higher limit of open files: LimitNOFILE= of the unit, or ulimit -n",
    errno.EPERM: "; expected root, or CAP_SYS_ADMIN, CAP_NET_BIND_SERVICE and, to add addresses, "
    "CAP_NET_ADMIN",
}


def check_allowed(wanted: Wanted, status: Path = Path("/proc/self/status")) -> None:
    """Raises BadInput where this process lacks a capability that it needs."""
    found = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)$", status.read_text())
    effective = int(found[1], 16) if found else 0
    needed = {"CAP_SYS_ADMIN": 21, "CAP_NET_BIND_SERVICE": 10}  # linux/capability.h
    if wanted.add_to is not None:
        needed["CAP_NET_ADMIN"] = 12
    missing = [name for name, number in needed.items() if not effective >> number & 1]
    if missing:
        raise BadInput(f"netns: expected root, or the capabilities {', '.join(missing)}")
