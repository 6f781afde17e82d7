"""Following the layout and the guest: what changes is put right at once, without stopping anybody.

One thread asks the source; this one waits for whatever comes first: a new layout, a change of the
partition's state (the kernel wakes up who polls it), a CPU that comes or goes (a uevent), a signal,
or the next look at everything.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import select
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Callable

from mdguest import control, sources
from mdguest.errors import BadInput, Refused, Trouble, Unreachable
from mdguest.facts import CGROUP, POOL, RAW_POOL
from mdguest.isolation import state
from mdguest.status import reported

if TYPE_CHECKING:
    from mdguest.layout import Layout
    from mdguest.settings import Settings
    from mdguest.system import System

GLANCE_SECONDS = 5.0
FULL_LOOK_SECONDS = 60.0
"""New cgroups, kernel threads and interrupts make no event: a glance is cheap, and a look at
everything follows where it shows a change, or now and then.
"""

GLANCED_AT = (
    "/sys/devices/system/cpu/online",
    f"{CGROUP}/cpuset.cpus.effective",
    f"{CGROUP}/*/cpuset.cpus",
    f"{CGROUP}/*/cpuset.cpus.effective",
    f"{CGROUP}/*/cpuset.cpus.partition",
    "/proc/irq/default_smp_affinity",
    "/proc/irq/*/smp_affinity_list",
    "/sys/devices/virtual/workqueue/cpumask",
)

KERNEL_THREADS = "/proc/2/task/2/children"
"""Of kthreadd: those that are born later may run anywhere before Linux 7."""

SETTLE_SECONDS = 0.2
"""Events come in bursts."""

REPORT_SECONDS = 600.0
"""Between reports where nothing happens; a server takes half an hour without any for silence."""

WAIT_SECONDS = 60.0
"""How long a server that can wait is asked to."""

QUICK_ANSWERS = 2
"""In a row: the first one, and one after a change. After more the server does not seem to wait."""

CALM_SECONDS = 30.0
HEALS_BEFORE_CALM = 5
"""Somebody else keeps changing things back: then not more often than each CALM_SECONDS."""

_UEVENTS = 15
"""NETLINK_KOBJECT_UEVENT: include/uapi/linux/netlink.h."""

Say = Callable[[str], None]


class Watch:
    """The service. ``run`` returns when a signal to end arrives."""

    def __init__(self, system: System, settings: Settings, say: Say) -> None:
        self._system = system
        self._settings = settings
        self._say = say
        self._found: queue.Queue[Layout | Trouble] = queue.Queue()
        self._ending = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._layout: Layout | None = None
        self._told: dict[str, str] = {}
        self._heals: list[float] = []
        self._named: set[str] = set()
        self._glance: tuple[str, ...] = ()
        self._looked_at = 0.0
        self._reported: int | None = None
        self._reported_at = -REPORT_SECONDS

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        threading.Thread(target=self._ask, daemon=True).start()
        with _uevents() as uevents:
            while not self._ending.is_set():
                self._step(uevents)
        self._say("ended")

    def _end(self, *_: object) -> None:
        self._ending.set()
        self._wake()

    def _wake(self) -> None:
        os.write(self._wake_write, b"!")

    # The thread that asks the source

    def _ask(self) -> None:
        """Hand over each layout; between two questions wait as long as the source wants it."""
        failures = quick = 0
        found: Layout | None = None
        while not self._ending.is_set():
            asked_at = time.monotonic()
            try:
                found = self._next(found)
                failures = 0
                self._found.put(found)
            except Trouble as trouble:
                failures, found = failures + 1, None
                self._found.put(trouble)
            self._wake()
            quick = quick + 1 if time.monotonic() - asked_at < 1 else 0
            if not (found and found.etag) or quick > QUICK_ANSWERS:
                self._ending.wait(self._pause(failures))

    def _next(self, found: Layout | None) -> Layout:
        if found and found.etag:
            return sources.wait(found, WAIT_SECONDS, self._system)
        return sources.read(self._settings.source, self._system)

    def _pause(self, failures: int) -> float:
        """Seconds until the next question, and some: not all guests of a host at once."""
        longest: float = self._settings.interval * min(2 ** max(failures - 1, 0), 8)
        return longest * random.uniform(1.0, 1.5)  # noqa: S311  # no secret

    # The thread that changes the guest

    def _step(self, uevents: socket.socket) -> None:
        """Wait for something to happen, and put right what it changed."""
        with _partition() as partition:
            self._await(uevents, partition)
        self._try("layout", self._take_layouts)
        self._try("guest", self._heal)
        self._try("report", self._keep_reporting)

    def _try(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Trouble as trouble:
            self._tell(what, str(trouble))
        except OSError as error:
            self._tell(what, f"cannot see to this guest: {error}")

    def _await(self, uevents: socket.socket, partition: int | None) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        poll.register(uevents, select.POLLIN)
        if partition is not None:
            poll.register(partition, select.POLLPRI)
        happened = {descriptor for descriptor, _ in poll.poll(GLANCE_SECONDS * 1000)}
        if self._wake_read in happened:
            os.read(self._wake_read, 4096)
        elif happened:
            self._ending.wait(SETTLE_SECONDS)
        with contextlib.suppress(BlockingIOError):
            while uevents.recv(65536):
                pass

    def _take_layouts(self) -> None:
        newest: Layout | Trouble | None = None
        with contextlib.suppress(queue.Empty):
            while True:
                newest = self._found.get_nowait()
        if isinstance(newest, Trouble):
            self._stale(newest)
        elif newest is not None:
            self._follow(newest)

    def _follow(self, found: Layout) -> None:
        """Apply a layout that is another than the one that is applied."""
        remembered = state.load(self._system)
        self._layout = found
        known = remembered.applied_at and str(found.dedicated or "") == remembered.dedicated
        if found.dedicated is None or known:
            self._is_followed()
            if remembered.stale:
                state.save(self._system, replace(remembered, stale=""))
                self._say(f"{found.source} is back")
            return
        cpus = f"CPU {found.dedicated or 'none'}"
        self._tell("new layout", f"layout: {cpus} dedicated, says {found.source}")
        settings = control.applied(self._settings, remembered)
        try:
            control.apply_layout(self._system, found, settings, self._say, careful=True)
        except (BadInput, Refused) as trouble:
            self._keep_stale(remembered, str(trouble))
            raise
        self._is_followed()
        self._name(control.warnings(control.now(self._system, self._settings)))
        self._report()

    def _stale(self, trouble: Trouble) -> None:
        self._keep_stale(state.load(self._system), str(trouble))
        what = "" if isinstance(trouble, Unreachable) else "what came is no layout: "
        self._tell("layout", f"{what}{trouble}; the last good layout stays")

    def _keep_stale(self, remembered: state.State, why: str) -> None:
        """The layout in force is not what the source says now."""
        if remembered.applied_at and remembered.stale != why:
            state.save(self._system, replace(remembered, stale=why))

    def _heal(self) -> None:
        """Put right what others changed, where anything changed since the last full look."""
        if not self._is_time():
            return
        glance, now = _glance(self._system), time.monotonic()
        if glance == self._glance and now - self._looked_at < FULL_LOOK_SECONDS:
            return
        try:
            healed = control.heal(self._system, self._settings, self._say)
        except (Trouble, OSError):
            self._heals.append(now)
            raise
        self._glance, self._looked_at = _glance(self._system), now
        self._told.pop("guest", None)
        self._name(healed.warnings)
        if healed.outcome is not None:
            self._heals.append(now)
            self._report()

    def _name(self, warnings: Iterable[str]) -> None:
        """Say what only others can put right, each once while it is so."""
        lines = set(warnings)
        for line in sorted(lines - self._named):
            self._say(f"warning: {line}")
        self._named = lines

    def _is_time(self) -> bool:
        now = time.monotonic()
        self._heals = [at for at in self._heals if now - at < 2 * CALM_SECONDS]
        return len(self._heals) < HEALS_BEFORE_CALM or now - self._heals[-1] >= CALM_SECONDS

    def _keep_reporting(self) -> None:
        """A server is to know that a change was heard, and now and then that all is well."""
        layout = self._layout
        if layout is None or layout.dedicated is None:
            return
        is_due = time.monotonic() - self._reported_at >= REPORT_SECONDS
        if is_due or layout.generation != self._reported:
            self._report()

    def _report(self) -> None:
        """Tell the server how things stand, where it takes reports, without waiting for it."""
        found = self._layout
        if found is None:
            return
        seen = control.now(self._system, self._settings)
        self._told.pop("report", None)
        self._reported, self._reported_at = found.generation, time.monotonic()
        arguments = (found, reported(seen, found), self._system)
        threading.Thread(target=sources.report, args=arguments, daemon=True).start()

    def _is_followed(self) -> None:
        """What the source says is in force: the next trouble with it is a new one."""
        for what in ("layout", "new layout"):
            self._told.pop(what, None)

    def _tell(self, what: str, message: str) -> None:
        """Say what is wrong with something once, however often that happens."""
        if message != self._told.get(what):
            self._told[what] = message
            self._say(message)


@contextlib.contextmanager
def _partition() -> Iterator[int | None]:
    """The pool's partition file, read, so that polling it tells of the next change."""
    descriptor = None
    for pool in (POOL, RAW_POOL):
        with contextlib.suppress(OSError):
            descriptor = os.open(f"{CGROUP}/{pool}/cpuset.cpus.partition", os.O_RDONLY)
            os.read(descriptor, 4096)
            break
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _glance(system: System) -> tuple[str, ...]:
    """The files in which drift shows soonest, as they are now."""
    paths = [path for pattern in GLANCED_AT for path in system.glob(pattern)]
    threads = _text(system, KERNEL_THREADS).split()
    names = [f"{thread} {_text(system, f'/proc/{thread}/comm')}" for thread in threads]
    lasting = [
        name for name in names if " kworker/" not in name
    ]  # those come and go, and are bound
    return (*(f"{path} {_text(system, path)}" for path in paths), *lasting)


def _text(system: System, path: str) -> str:
    try:
        return system.read(path)
    except OSError:
        return ""


def _uevents() -> socket.socket:
    """The kernel's messages of devices that come and go; CPUs are among them, and rare."""
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _UEVENTS)
    listener.bind((0, 1))
    listener.setblocking(False)
    return listener
