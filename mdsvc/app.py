"""Assembly: settings to a running program. The one place that knows every part."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from aiohttp import web

from mdsvc import api, handlers, overlay, target
from mdsvc.access import Access
from mdsvc.access.addressed import own_name
from mdsvc.control.drifting import Drifting
from mdsvc.documents import Documents
from mdsvc.documents import overlay as documents_overlay
from mdsvc.errors import BadInput
from mdsvc.guarding import Buckets, Guard, Keys
from mdsvc.guarding.tokens import SHUT_OUT, random_keys, read_keys
from mdsvc.guests import Guests
from mdsvc.identity import Identity
from mdsvc.identity.address import AddressIdentity
from mdsvc.identity.neutron import NeutronIdentity
from mdsvc.listening.connections import Answering
from mdsvc.listening.sockets import Listen, parse_listen
from mdsvc.metrics import Metrics
from mdsvc.metrics.fleet import Fleet
from mdsvc.nova.answers import Answers
from mdsvc.nova.keystone import CloudSession
from mdsvc.nova.layouts import CloudLayouts
from mdsvc.nova.replies import Asker, Reply
from mdsvc.nova.tokens import Tokens
from mdsvc.nova.upstreams import Upstreams
from mdsvc.settings import Settings
from mdsvc.store import GuestStore, Store
from mdsvc.store.following import Follower
from mdsvc.store.opening import open_store
from mdsvc.store.recent import Followed, RecentReads
from mdsvc.vendordata.answers import Vendordata
from mdsvc.vendordata.asking import Asking
from mdsvc.vendordata.files import secret_header, static_data, template_text
from mdsvc.vendordata.targets import parse_targets
from mdsvc.versions import Options
from mdsvc.waiting import Waiting
from mdsvc.web.door import Door
from mdsvc.web.readiness import Readiness
from mdsvc.web.routes import add_page

__all__ = [
    "Live",
    "Reload",
    "document_options",
    "figures_of",
    "guest_app",
    "open_store",
    "operator_app",
    "overlay_answers",
    "overlay_app",
    "target_app",
    "vendordata_targets",
]

_log = logging.getLogger(__name__)


class Reload(NamedTuple):
    """What can be read anew while the server runs. ``read`` raises BadInput, and changes nothing
    then.
    """

    what: str
    read: Callable[[], None]


class Live(NamedTuple):
    """What tells of changes, so that answers can be kept: files that are read anew, services, and
    who follows the store, without whom nothing that is read of it is kept.
    """

    reloads: list[Reload]
    vendordata: Vendordata | None = None
    follower: Follower | None = None


def guest_app(
    store: GuestStore,
    settings: Settings,
    waiting: Waiting,
    metrics: Metrics | None = None,
    live: Live | None = None,
) -> Answering:
    """What guests talk to: one handler for every path, as slashes are tolerated anywhere."""
    room = settings.cache_mb * 2**20 // 2
    documents = Documents(document_options(settings), room=room)
    live = live or Live([])
    recent = RecentReads(store, live.follower, room) if live.follower else None
    if live.follower and recent:
        live.follower.tell(recent)
    if settings.vendor_data:
        live.reloads.append(Reload("vendor_data", lambda: _renew(documents, settings, waiting)))

    def held() -> int:
        kept = documents.held() + (recent.size if recent else 0)
        return kept + (live.vendordata.held() if live.vendordata else 0)

    if metrics:
        metrics.watch("mdsvc_waiting", "Requests that wait for a change.", waiting.__len__)
        metrics.watch("mdsvc_cache_bytes", "Rendered documents that are kept.", held)
    guests = Guests(
        metrics=metrics,
        vendordata=live.vendordata,
        store=recent or store,
        waiting=waiting,
        identity=_identity(settings, metrics),
        documents=documents,
        longest_wait=settings.longest_wait,
        proxied=settings.identity == "neutron",
        guard=guard_of(settings, live.reloads),
        kept=recent,
        followed=Followed(recent) if recent else None,
        user_data_seconds=settings.user_data_close,
    )
    return Answering(partial(handlers.handle, guests), partial(handlers.at_once, guests))


def guard_of(settings: Settings, reloads: list[Reload]) -> Guard:
    """The rules of the guests' door. The keys of session tokens are what all servers have in common
    that the same guests ask: Neutron's shared secret, or a file; else none. Raises BadInput.
    """
    proxied = settings.identity == "neutron"
    if proxied and settings.tokens == "required":
        _log.warning("%s", SHUT_OUT)
    if proxied:
        keys = Keys([secret.encode() for secret in settings.shared_secret])
    elif file := settings.token_key_file:
        keys = read_keys(file)
        reloads.append(Reload("token_key_file", lambda: keys.take(read_keys(file))))
    else:
        keys = random_keys()
    return Guard(
        proxied=proxied,
        mode=settings.tokens,
        keys=keys,
        buckets=Buckets(settings.guest_rate, settings.guest_burst),
        names=frozenset(name.lower() for name in settings.guest_names),
    )


def _renew(documents: Documents, settings: Settings, waiting: Waiting) -> None:
    """Whoever waits for vendor data gets the new."""
    documents.renew(document_options(settings))
    waiting.reset()


@asynccontextmanager
async def vendordata_targets(
    settings: Settings, reloads: list[Reload]
) -> AsyncIterator[Vendordata | None]:
    """The operator's own services for vendor data; None where there are none. Raises BadInput."""
    targets = parse_targets(settings.vendordata_dynamic_targets)
    if not targets:
        yield None
        return
    secret = settings.vendordata_dynamic_token_file
    headers = secret_header(secret) if secret else {}
    async with Asking(headers, settings.vendordata_dynamic_ssl_certfile) as asking:
        if secret:
            read = partial(_renew_secret, asking, secret)
            reloads.append(Reload("vendordata_dynamic_token_file", read))
        vendordata = Vendordata(targets, asking, settings.vendordata_dynamic_seconds)
        try:
            yield vendordata
        finally:
            await vendordata.close()


def _renew_secret(asking: Asking, file: Path) -> None:
    asking.headers = secret_header(file)


def overlay_app(
    settings: Settings,
    upstreams: Upstreams,
    answers: Answers,
    waiting: Waiting,
    metrics: Metrics,
) -> Answering:
    """What guests talk to in front of Nova: one handler for every path."""
    metrics.watch("mdsvc_waiting", "Requests that wait for a change.", waiting.__len__)
    metrics.watch("mdsvc_cache_bytes", "Answers of Nova's that are kept.", answers.held)
    door = overlay.Overlay(
        identity=NeutronIdentity(settings.shared_secret),
        upstreams=upstreams,
        answers=answers,
        waiting=waiting,
        options=document_options(settings),
        longest_wait=settings.longest_wait,
        guard=guard_of(settings, []),
        metrics=metrics,
    )
    return Answering(partial(overlay.handle, door), partial(overlay.at_once, door))


def target_app(
    settings: Settings,
    cloud: CloudSession | None,
    store: GuestStore | None,
    metrics: Metrics,
    *,
    is_local: bool,
) -> web.Application:
    """What Nova asks for vendor data: ``store`` where the layouts are its. Raises BadInput."""
    if settings.layouts_of == "cloud":
        assert cloud is not None, "where layouts are the cloud's, there is one"
        layouts = target.cloud_layouts(CloudLayouts(cloud))
    else:
        assert store is not None, "where there is no store, layouts are the cloud's"
        layouts = target.store_layouts(store)
    file = settings.vendordata_template
    return target.application(
        target.Target(
            guard=_guard(settings, cloud, is_local),
            layouts=layouts,
            template=template_text(file) if file else None,
            count=metrics.target_answered,
        )
    )


def _guard(settings: Settings, cloud: CloudSession | None, is_local: bool) -> target.Guard:
    """Never open to other machines."""
    if cloud or settings.vendordata_secret:
        return target.Services(Tokens(cloud) if cloud else None, settings.vendordata_secret)
    if is_local:
        return target.Anybody()
    raise BadInput(
        f"vendordata: {settings.vendordata} can be reached from other machines: expected cloud, to "
        "check Nova's tokens, or a vendordata_secret; or listen on 127.0.0.1 or unix:/PATH"
    )


def overlay_answers(
    upstreams: Upstreams, metrics: Metrics, clock: Callable[[], float] = monotonic
) -> Answers:
    """What is kept of the upstreams' answers, each of them the asking guest's own."""

    async def fetch(asker: Asker, target: str) -> Reply:
        fault = partial(documents_overlay.fault, target, uuid=asker.uuid)
        return await upstreams.ask("GET", target, asker.headers(), fault=fault)

    return Answers(fetch, clock, on_last_good=metrics.last_good_served)


class Figures(NamedTuple):
    """What is known of a store's guests together."""

    metrics: Metrics
    drifting: Drifting


def figures_of(store: Store) -> Figures:
    """Of a store, with nothing read yet."""
    drifting = Drifting(store)
    return Figures(Metrics(Fleet(store, drifting.count)), drifting)


def operator_app(
    store: Store,
    settings: Settings,
    follower: Follower,
    figures: Figures | None = None,
    *,
    is_local: bool,
) -> web.Application:
    """What operators and their monitoring talk to. ``is_local``: only this machine reaches it."""
    access = Access(store, is_local)
    metrics, drifting = figures or figures_of(store)
    options = settings.unknown_keys, settings.identity == "neutron"
    backend = api.Backend(store, follower, access, metrics, api.ROUTES, drifting, *options)
    names = {*settings.operator_names, *_listener_name(settings)}
    app = api.application(backend, names)
    add_page(app, Door(backend, Readiness(store), names))
    return app


def _listener_name(settings: Settings) -> set[str]:
    """The name by which the operator's listener is set, if it is one and no address."""
    where = parse_listen(settings.operator)
    return own_name(where.address) if isinstance(where, Listen) else set()


def _identity(settings: Settings, metrics: Metrics | None) -> Identity:
    if settings.identity == "neutron":
        return NeutronIdentity(settings.shared_secret)
    if metrics is None:
        return AddressIdentity(settings.network)
    return AddressIdentity(settings.network, metrics.refused)


def document_options(settings: Settings) -> Options:
    """What is set of all guests' documents. Raises BadInput."""
    return Options(
        dedicated_cpus_format=settings.dedicated_cpus_format,
        version_list=settings.version_list,
        vendor_data=static_data(settings.vendor_data) if settings.vendor_data else {},
    )
