"""Assembly: settings to a running program. The one place that knows every part."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from aiohttp import web

from mdsvc import api, handlers, overlay
from mdsvc.access import Access
from mdsvc.access.addressed import own_name
from mdsvc.documents import Documents
from mdsvc.documents import overlay as documents_overlay
from mdsvc.errors import BadInput
from mdsvc.forms import from_json
from mdsvc.handlers import Guests
from mdsvc.identity import Identity
from mdsvc.identity.address import AddressIdentity
from mdsvc.identity.neutron import NeutronIdentity
from mdsvc.listening.sockets import Listen, parse_listen
from mdsvc.metrics import Metrics
from mdsvc.metrics.fleet import Fleet
from mdsvc.nova.answers import Answers
from mdsvc.nova.replies import Asker, Reply
from mdsvc.nova.upstreams import Upstreams
from mdsvc.settings import Settings
from mdsvc.store import GuestStore, Store
from mdsvc.store.following import Follower
from mdsvc.store.opening import open_store
from mdsvc.store.recent import RecentReads
from mdsvc.versions import Options
from mdsvc.waiting import Waiting
from mdsvc.web.door import Door
from mdsvc.web.routes import add_page

__all__ = [
    "document_options",
    "guest_app",
    "open_store",
    "operator_app",
    "overlay_answers",
    "overlay_app",
]


def guest_app(
    store: GuestStore, settings: Settings, waiting: Waiting, metrics: Metrics | None = None
) -> web.Application:
    """What guests talk to: one handler for every path, as slashes are tolerated anywhere."""
    documents = Documents(document_options(settings))
    if metrics:
        metrics.watch("mdsvc_waiting", "Requests that wait for a change.", waiting.__len__)
        metrics.watch("mdsvc_cache_bytes", "Rendered documents that are kept.", documents.held)
    guests = Guests(
        metrics=metrics,
        store=RecentReads(store),
        unkept=store,
        waiting=waiting,
        identity=_identity(settings),
        documents=documents,
        longest_wait=settings.longest_wait,
        proxied=settings.identity == "neutron",
    )
    app = web.Application()
    app.router.add_route("*", "/{path:(?s:.*)}", partial(handlers.handle, guests))
    return app


def overlay_app(
    settings: Settings, upstreams: Upstreams, answers: Answers, waiting: Waiting, metrics: Metrics
) -> web.Application:
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
        metrics=metrics,
    )
    app = web.Application(client_max_size=overlay.LARGEST_BODY)
    app.router.add_route("*", "/{path:(?s:.*)}", partial(overlay.handle, door))
    return app


def overlay_answers(
    upstreams: Upstreams, metrics: Metrics, clock: Callable[[], float] = monotonic
) -> Answers:
    """What is kept of the upstreams' answers, each of them the asking guest's own."""

    async def fetch(asker: Asker, target: str) -> Reply:
        fault = partial(documents_overlay.fault, target, uuid=asker.uuid)
        return await upstreams.ask("GET", target, asker.headers(), fault=fault)

    return Answers(fetch, clock, on_last_good=metrics.last_good_served)


def operator_app(
    store: Store,
    settings: Settings,
    follower: Follower,
    metrics: Metrics | None = None,
    *,
    is_local: bool,
) -> web.Application:
    """What operators and their monitoring talk to. ``is_local``: only this machine reaches it."""
    access = Access(store, is_local)
    figures = metrics or Metrics(Fleet(store))
    backend = api.Backend(store, follower, access, figures, api.ROUTES, settings.unknown_keys)
    names = {*settings.operator_names, *_listener_name(settings)}
    app = api.application(backend, names)
    add_page(app, Door(backend, names))
    return app


def _listener_name(settings: Settings) -> set[str]:
    """The name by which the operator's listener is set, if it is one and no address."""
    where = parse_listen(settings.operator)
    return own_name(where.address) if isinstance(where, Listen) else set()


def _identity(settings: Settings) -> Identity:
    if settings.identity == "neutron":
        return NeutronIdentity(settings.shared_secret)
    return AddressIdentity(settings.network)


def document_options(settings: Settings) -> Options:
    """What is set of all guests' documents. Raises BadInput."""
    return Options(
        dedicated_cpus_format=settings.dedicated_cpus_format,
        version_list=settings.version_list,
        vendor_data=_vendor_data(settings.vendor_data) if settings.vendor_data else {},
    )


def _vendor_data(path: Path) -> dict[str, Any]:
    try:
        return from_json(path.read_bytes(), dict[str, Any])
    except OSError as error:
        raise BadInput(f"vendor_data: {path}: {error.strerror}") from None
    except BadInput as error:
        raise BadInput(f"vendor_data: {path}: {error}") from None
