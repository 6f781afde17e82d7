"""The operator's door of a server beside Nova: without a store, probes and figures alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal, Protocol

import msgspec
from aiohttp import web

from mdsvc.api.boundary import boundary, prepare
from mdsvc.errors import Forbidden, NotFound, Unavailable
from mdsvc.forms import to_json
from mdsvc.metrics import KIND, Metrics

_READY_SECONDS = 3.0


class Cloud(Protocol):
    """Whom this server asks; what is wrong with each, None where it answers."""

    async def states(self, seconds: float) -> Mapping[str, str | None]: ...


class Readiness(msgspec.Struct, frozen=True):
    """What a probe is told: of each upstream, ``"ok"`` or what is wrong."""

    status: Literal["ready"]
    upstreams: Mapping[str, str]


def application(upstreams: Cloud, metrics: Metrics, *, is_local: bool) -> web.Application:
    """Its routes. Who is not on this machine gets the probes, as there are no tokens."""
    app = web.Application(middlewares=[boundary])
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", partial(_readyz, upstreams))
    app.router.add_get("/metrics", partial(_metrics, metrics, is_local))
    app.router.add_route("*", "/v1{rest:(?s:.*)}", _v1)
    app.on_response_prepare.append(prepare)
    return app


async def _healthz(_request: web.Request) -> web.Response:
    return _json({"status": "ok"})


async def _readyz(upstreams: Cloud, _request: web.Request) -> web.Response:
    """Ready while one upstream answers. Guests may get what is kept where none does."""
    states = {
        name: "ok" if wrong is None else wrong
        for name, wrong in (await upstreams.states(_READY_SECONDS)).items()
    }
    if "ok" not in states.values():
        each = "; ".join(f"{name}: {wrong}" for name, wrong in states.items())
        raise Unavailable(f"no upstream answers: {each}")
    return _json(Readiness("ready", states))


async def _metrics(metrics: Metrics, is_local: bool, _request: web.Request) -> web.Response:
    if not is_local:
        raise Forbidden("metrics are for this machine: expected 127.0.0.1 or unix:/PATH")
    return web.Response(body=await metrics.text(), headers={"Content-Type": KIND})


async def _v1(_request: web.Request) -> web.Response:
    raise NotFound("this server is beside Nova (--upstream or --cloud), and has no store to ask")


def _json(value: object) -> web.Response:
    return web.Response(body=to_json(value), headers={"Content-Type": "application/json"})
