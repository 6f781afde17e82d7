"""Running the server in as many processes as are set."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack

from mdsvc import server, workers
from mdsvc.doorways import TARGET, guest_sockets, operator_sockets, target_sockets
from mdsvc.listening.activation import GUEST, OPERATOR, inherited
from mdsvc.listening.readiness import notify
from mdsvc.settings import Settings


def run(settings: Settings, ready: Callable[[list[str]], None]) -> None:
    """Run until SIGTERM or SIGINT, in as many processes as are set, or in one where no guest asks.
    ``ready`` is called once, with a line for each listener. Raises MdsvcError, and Failed where a
    worker has said why.
    """
    if settings.workers == 1 or settings.is_target_alone:
        _run(server.serve(settings, ready))
        return

    def all_ready(lines: list[str]) -> None:
        ready(lines)
        notify("READY=1")

    with ExitStack() as stack:
        given = _given(stack, settings)
        worker = workers.become_one(settings.workers, all_ready)
        if worker:
            stack.pop_all()  # the sockets are the parent's to close
    if worker:
        os.environ.pop("NOTIFY_SOCKET", None)
        if worker.number:
            given = {**given, OPERATOR: []}
        _run(server.serve(settings, worker.ready, given, worker.orphaned))


def _run(main: Coroutine[None, None, None]) -> None:
    """By uvloop where that is installed: its event loop is the quicker one."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main)


def _given(stack: ExitStack, settings: Settings) -> Mapping[str, Sequence[socket.socket]]:
    """The sockets that all workers share: those that systemd gave, else those that are set."""
    given = inherited()
    guests, operators = given.get(GUEST), given.get(OPERATOR)
    return {
        GUEST: guests or guest_sockets(stack, settings),
        OPERATOR: operators or operator_sockets(stack, settings, {}),
        TARGET: target_sockets(stack, settings),
    }
