"""Running the server: listeners up, word that it is ready, and a clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from mdsvc.api import storeless
from mdsvc.app import (
    Live,
    Reload,
    figures_of,
    guest_app,
    open_store,
    operator_app,
    overlay_answers,
    overlay_app,
    target_app,
    vendordata_targets,
)
from mdsvc.doorways import TARGET, guest_sockets, operator_sockets, target_sockets
from mdsvc.errors import BadInput
from mdsvc.listening.activation import GUEST, inherited
from mdsvc.listening.connections import BACKLOG, Answering, Runner
from mdsvc.listening.doors import answering
from mdsvc.listening.files import none_left, raise_limit
from mdsvc.listening.readiness import notify
from mdsvc.listening.sockets import Listen, UnixListen, is_local, near
from mdsvc.listening.tls import Tls
from mdsvc.logs import one_line
from mdsvc.metrics import Metrics
from mdsvc.nova.addresses import parse_upstream
from mdsvc.nova.clouds import cloud
from mdsvc.nova.keystone import CloudSession
from mdsvc.nova.upstreams import Upstreams
from mdsvc.settings import Settings
from mdsvc.store import Store
from mdsvc.store.following import Follower
from mdsvc.waiting import Waiting

if TYPE_CHECKING:
    from mdsvc.listening.namespaces import Namespaces

_IDLE_SECONDS = 15
"""How long a silent connection, or one with a slow header, is kept."""

_SHUTDOWN_SECONDS = 1
"""For how long a guest's request may go on after SIGTERM; aiohttp waits twice as long in all."""

_CLOUD_SECONDS = 3.0
_CLOUD_AT_ONCE = 32
"""For one answer of the cloud's, and how many are waited for: Nova waits 5 s for ours."""

_log = logging.getLogger(__name__)
_access = logging.getLogger("mdsvc.access")


async def serve(
    settings: Settings,
    ready: Callable[[list[str]], None],
    given: Mapping[str, Sequence[socket.socket]] | None = None,
    orphaned: int | None = None,
) -> None:
    """Run until SIGTERM or SIGINT, or until ``orphaned`` is readable. ``ready`` is called with a
    line for each listener.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    if orphaned is not None:
        loop.add_reader(orphaned, stop.set)
    loop.set_exception_handler(none_left)
    raise_limit()
    given = inherited() if given is None else given
    async with AsyncExitStack() as stack:
        if settings.upstream:
            lines = await stack.enter_async_context(overlay_listeners(settings, given))
        elif settings.is_target_alone:
            lines = await stack.enter_async_context(target_listeners(settings, given))
        else:
            store = await open_store(settings.store)
            stack.push_async_callback(store.close)
            lines = await stack.enter_async_context(listeners(settings, store, given))
        ready(lines)
        notify("READY=1")
        await stop.wait()
        notify("STOPPING=1")


@asynccontextmanager
async def listeners(
    settings: Settings, store: Store, given: Mapping[str, Sequence[socket.socket]] | None = None
) -> AsyncIterator[list[str]]:
    """The guests' listeners and the operator's, answering; gives a line for each.

    Where sockets are ``given``, by who is expected there, the settings for these are not looked at.
    """
    given = given or {}
    async with AsyncExitStack() as stack:
        guests = given[GUEST] if GUEST in given else guest_sockets(stack, settings)
        operators = operator_sockets(stack, settings, given)
        namespaces = await _namespaces(stack, settings)
        follower, waiting = Follower(store, settings.poll_seconds), Waiting()
        metrics, drifting = figures = figures_of(store)
        reloads: list[Reload] = []
        vendordata = await stack.enter_async_context(vendordata_targets(settings, reloads))
        if vendordata:
            vendordata.renewed, vendordata.count = waiting.wake, metrics.vendordata_asked
            follower.tell(vendordata)
        live = Live(reloads, vendordata, follower)
        door = guest_app(store, settings, waiting, metrics, live)
        follower.tell(waiting)  # the last, as who is woken asks the others
        await stack.enter_async_context(follower.running())
        await stack.enter_async_context(metrics.told())
        await stack.enter_async_context(drifting.warm(operators))
        runner = await _runner(stack, door)
        runner.crowd.refused = metrics.refused
        _ask_directly(settings, runner, guests)
        lines = [f"guests: {await _site(runner, sock)} ({settings.identity})" for sock in guests]
        lines += await _at_doors(stack, namespaces, runner, metrics)
        context = _tls(settings, reloads)
        _reload_on_sighup(stack, reloads)
        for sock in operators:
            if not is_local(sock):
                await _check_guarded(settings, store, sock)
            app = operator_app(store, settings, follower, figures, is_local=is_local(sock))
            lines.append(f"operator: {await _site(await _runner(stack, app), sock, context)}")
        lines += await _targets(stack, settings, Beside(given, metrics, context, store))
        stack.callback(waiting.close)
        yield lines


@asynccontextmanager
async def overlay_listeners(
    settings: Settings, given: Mapping[str, Sequence[socket.socket]] | None = None
) -> AsyncIterator[list[str]]:
    """As ``listeners``, in front of Nova's metadata service, and without a store."""
    if settings.identity != "neutron":
        raise BadInput("upstream: expected identity = neutron, as its agent is who asks")
    given = given or {}
    async with AsyncExitStack() as stack:
        guests = given[GUEST] if GUEST in given else guest_sockets(stack, settings)
        operators = operator_sockets(stack, settings, given)
        metrics, waiting = Metrics(None), Waiting()
        addresses = [parse_upstream(text) for text in settings.upstream]
        upstreams = await stack.enter_async_context(Upstreams(addresses, metrics.upstream_asked))
        answers = overlay_answers(upstreams, metrics)
        stack.push_async_callback(answers.close)
        door = overlay_app(settings, upstreams, answers, waiting, metrics)
        runner = await _runner(stack, door)
        runner.crowd.refused = metrics.refused
        where = f"in front of {', '.join(map(str, addresses))}"
        lines = [f"guests: {await _site(runner, sock)} ({where})" for sock in guests]
        reloads: list[Reload] = []
        context = _tls(settings, reloads)
        _reload_on_sighup(stack, reloads)
        for sock in operators:
            app = storeless.application(upstreams, metrics, is_local=is_local(sock))
            lines.append(f"operator: {await _site(await _runner(stack, app), sock, context)}")
        lines += await _targets(stack, settings, Beside(given, metrics, context))
        stack.callback(waiting.close)
        yield lines


@asynccontextmanager
async def target_listeners(
    settings: Settings, given: Mapping[str, Sequence[socket.socket]] | None = None
) -> AsyncIterator[list[str]]:
    """The listener that Nova asks for vendor data, and the operator's: no guest comes here, and
    there is no store.
    """
    given = given or {}
    async with AsyncExitStack() as stack:
        operators = operator_sockets(stack, settings, given)
        metrics, reloads = Metrics(None), list[Reload]()
        context = _tls(settings, reloads)
        _reload_on_sighup(stack, reloads)
        session = await _cloud(stack, settings)
        assert session is not None, "where layouts are the cloud's, there is one"
        lines = await _target(stack, settings, Beside(given, metrics, context, cloud=session))
        for sock in operators:
            app = storeless.application(session, metrics, is_local=is_local(sock))
            lines.append(f"operator: {await _site(await _runner(stack, app), sock, context)}")
        yield lines


class Beside(NamedTuple):
    """What the listener that Nova asks has from the rest of the server."""

    given: Mapping[str, Sequence[socket.socket]]
    metrics: Metrics
    context: ssl.SSLContext | None
    store: Store | None = None
    cloud: CloudSession | None = None


async def _cloud(stack: AsyncExitStack, settings: Settings) -> CloudSession | None:
    """The cloud that is set. It is asked when somebody wants to know; raises MdsvcError where
    clouds.yaml cannot be read.
    """
    if settings.cloud is None:
        return None
    session = CloudSession(cloud(settings.cloud, os.environ), _CLOUD_SECONDS, _CLOUD_AT_ONCE)
    return await stack.enter_async_context(session)


async def _targets(stack: AsyncExitStack, settings: Settings, beside: Beside) -> list[str]:
    """Answer Nova, where it is set that it asks here."""
    if not settings.vendordata:
        return []
    return await _target(stack, settings, beside._replace(cloud=await _cloud(stack, settings)))


async def _target(stack: AsyncExitStack, settings: Settings, beside: Beside) -> list[str]:
    """Answer Nova; the line for it."""
    given, lines = beside.given.get(TARGET), []
    for sock in target_sockets(stack, settings) if given is None else given:
        local = is_local(sock)
        app = target_app(settings, beside.cloud, beside.store, beside.metrics, is_local=local)
        where = await _site(await _runner(stack, app), sock, beside.context)
        lines.append(f"vendor data: {where} (layouts of the {settings.layouts_of})")
    return lines


async def _namespaces(stack: AsyncExitStack, settings: Settings) -> Namespaces | None:
    """Those of networks, followed. They are left last, with the addresses that were added."""
    if not settings.follows_namespaces:
        return None
    from mdsvc.listening.namespace import Wanted  # few do, and it takes long to import
    from mdsvc.listening.namespaces import Namespaces

    add_to, shared = settings.netns_add_addresses, settings.workers > 1
    wanted = Wanted(settings.networks, settings.netns_prefix, add_to, shared)
    namespaces = Namespaces(wanted)
    await stack.enter_async_context(namespaces.followed())
    return namespaces


def _ask_directly(settings: Settings, runner: Runner, guests: Sequence[socket.socket]) -> None:
    """What holds where guests themselves connect, and no proxy for all of them."""
    if settings.identity != "address":
        return
    runner.crowd.most_of_a_peer = settings.guest_connections
    runner.reply_ttl = settings.reply_ttl
    for sock in guests:
        near(sock, settings.reply_ttl)


async def _at_doors(
    stack: AsyncExitStack, namespaces: Namespaces | None, runner: Runner, metrics: Metrics
) -> list[str]:
    """Answer in namespaces, if there are to be any; the line for them."""
    if namespaces is None:
        return []
    text = "Networks' namespaces."
    metrics.watch("mdsvc_namespaces", text, namespaces.count, is_of_each=False)
    text = "Those of them in which not all can be listened on."
    metrics.watch("mdsvc_namespaces_failing", text, namespaces.failing, is_of_each=False)
    await stack.enter_async_context(answering(namespaces, runner))
    return [f"guests: {namespaces} (address)"]


async def _check_guarded(settings: Settings, store: Store, sock: socket.socket) -> None:
    """Raises BadInput where the operator's listener would be open to others."""
    where = f"operator: {Listen(*sock.getsockname()[:2])} can be reached from other machines"
    if not await store.bearers():
        expected = "expected a token to exist; make one: mdsvc token create NAME"
        raise BadInput(f"{where}: {expected}; or listen on 127.0.0.1 or unix:/PATH")
    if not settings.tls_certificate:
        _log.warning("%s, and tokens reach it unencrypted: there is no tls_certificate", where)


def _tls(settings: Settings, reloads: list[Reload]) -> ssl.SSLContext | None:
    """For the operator's listeners; None where they speak none."""
    if settings.tls_key and not settings.tls_certificate:
        raise BadInput("tls_certificate: expected a certificate, as there is a tls_key")
    if not settings.tls_certificate:
        return None
    tls = Tls(settings.tls_certificate, settings.tls_key)
    reloads.append(Reload("tls_certificate", tls.reload))
    return tls.context


def _reload_on_sighup(stack: AsyncExitStack, reloads: Sequence[Reload]) -> None:
    """Read files anew; where there is none, SIGHUP ends nothing all the same."""

    def reload() -> None:
        if not reloads:
            _log.info("SIGHUP: there is no file to be read anew")
        for what, read in reloads:
            try:
                read()
                _log.info("SIGHUP: %s is read anew", what)
            except BadInput as error:
                _log.error("SIGHUP: %s; going on with what was there", one_line(str(error)))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    stack.callback(loop.remove_signal_handler, signal.SIGHUP)


async def _runner(stack: AsyncExitStack, door: web.Application | Answering) -> Runner:
    runner = Runner(
        door,
        keepalive_timeout=_IDLE_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        auto_decompress=False,  # a password is kept as it was sent
        access_log=_access if _access.isEnabledFor(logging.INFO) else None,
        access_log_format='%a "%r" %s %b %Tf %{X-Request-ID}o',
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    return runner


async def _site(runner: Runner, sock: socket.socket, context: ssl.SSLContext | None = None) -> str:
    """Answer there; where that is, as a URL or ``unix:/PATH``."""
    await web.SockSite(runner, sock, ssl_context=context, backlog=BACKLOG).start()
    if sock.family == socket.AF_UNIX:
        return str(UnixListen(sock.getsockname()))
    address, port = sock.getsockname()[:2]
    return f"{'https' if context else 'http'}://{Listen(address, port)}"
