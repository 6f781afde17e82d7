"""The operator's door. ROUTES is the table that the routing, the OpenAPI document and the rules of
access are derived from; a handler is: body, one use case, answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

from aiohttp import web

from mdsvc.access import Access
from mdsvc.access.addressed import check_host
from mdsvc.api import fit, hosts, instances, openapi, probes
from mdsvc.api.boundary import boundary, prepare
from mdsvc.api.dispatch import serve
from mdsvc.api.examples import FIT, HOST, INSTANCE
from mdsvc.api.pages import HostsQuery, InstancesQuery
from mdsvc.api.route import BYTES, XML, Backend, Route
from mdsvc.instance import Instance, PlacedInstance
from mdsvc.placing.what_if import Fits, OpenQuestion, Refusal
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store import Store
from mdsvc.topology import Host, described

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/healthz",
        handler=probes.get_healthz,
        answers={200: probes.Status},
        reads=True,
        is_open=True,
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=probes.get_readyz,
        answers={200: probes.Status},
        reads=True,
        is_open=True,
    ),
    Route(
        method="GET",
        path="/openapi.json",
        handler=openapi.get_openapi,
        answers={200: dict[str, Any]},
        reads=True,
    ),
    # ---- hosts ----
    Route(
        method="GET",
        path="/v1/hosts",
        handler=hosts.list_hosts,
        query=HostsQuery,
        answers={200: hosts.Hosts},
        reads=True,
    ),
    Route(
        method="POST",
        path="/v1/hosts",
        handler=hosts.create_host,
        body=Host,
        answers={200: Host, 201: Host},
        errors=("conflict",),
        example=HOST,
    ),
    Route(
        method="GET",
        path="/v1/hosts/{name}",
        handler=hosts.get_host,
        answers={200: Host},
        errors=("not_found",),
        reads=True,
    ),
    Route(
        method="PUT",
        path="/v1/hosts/{name}",
        handler=hosts.put_host,
        body=Host,
        reader=described,
        answers={200: Host, 201: Host},
        errors=("not_found", "conflict", "precondition_failed"),
        takes_if_match=True,
        example=HOST,
    ),
    Route(
        method="DELETE",
        path="/v1/hosts/{name}",
        handler=hosts.delete_host,
        answers={204: None},
        errors=("not_found", "conflict", "precondition_failed"),
        takes_if_match=True,
    ),
    # ---- instances ----
    Route(
        method="GET",
        path="/v1/instances",
        handler=instances.list_instances,
        query=InstancesQuery,
        answers={200: instances.Instances},
        reads=True,
    ),
    Route(
        method="POST",
        path="/v1/instances",
        handler=instances.create_instance,
        query=instances.WhereQuery,
        body=Instance,
        answers={200: PlacedInstance, 201: PlacedInstance},
        errors=("not_found", "invalid_request", "conflict", "does_not_fit"),
        example=INSTANCE,
    ),
    Route(
        method="GET",
        path="/v1/instances/{uuid}",
        handler=instances.get_instance,
        answers={200: PlacedInstance},
        errors=("not_found",),
        reads=True,
    ),
    Route(
        method="DELETE",
        path="/v1/instances/{uuid}",
        handler=instances.delete_instance,
        answers={204: None},
        errors=("not_found", "conflict", "precondition_failed"),
        takes_if_match=True,
    ),
    Route(
        method="GET",
        path="/v1/instances/{uuid}/password",
        handler=instances.get_password,
        answers={200: bytes},
        errors=("not_found",),
        kind=BYTES,
        reads=True,
    ),
    Route(
        method="DELETE",
        path="/v1/instances/{uuid}/password",
        handler=instances.delete_password,
        answers={204: None},
        errors=("not_found",),
    ),
    Route(
        method="GET",
        path="/v1/instances/{uuid}/domain",
        handler=instances.get_domain,
        answers={200: bytes},
        errors=("not_found", "conflict"),
        kind=XML,
        reads=True,
    ),
    # ---- what-if ----
    Route(
        method="POST",
        path="/v1/fit",
        handler=fit.ask_fit,
        body=OpenQuestion,
        answers={200: (Fits, Refusal)},
        reads=True,
        example=FIT,
    ),
)


def application(
    store: Store, access: Access, unknown_keys: UnknownKeys = "warn", names: Collection[str] = ()
) -> web.Application:
    """The table on this store. ``names`` are what the listener is called beside its address."""
    backend = Backend(store, ROUTES, unknown_keys)
    app = web.Application(middlewares=[boundary, _door(access, names)])
    for route in ROUTES:
        handler = partial(serve, backend, route)
        resource = app.router.add_resource(route.path)
        resource.add_route(route.method, handler)
        if route.method == "GET":
            resource.add_route("HEAD", handler)
    app.on_response_prepare.append(prepare)

    async def close(_app: web.Application) -> None:
        await access.close()

    app.on_cleanup.append(close)
    return app


def _door(access: Access, names: Collection[str]) -> Any:
    """Who may not ask does not learn whether a path is there; but probes may always ask."""
    is_open = {route.path for route in ROUTES if route.is_open}

    @web.middleware
    async def door(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path not in is_open:
            address = request.transport and request.transport.get_extra_info("sockname")
            check_host(request.headers.get("Host"), address, names)
            request["caller"] = await access.caller(request.headers)
        return await handler(request)

    return door
