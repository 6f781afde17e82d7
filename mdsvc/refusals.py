"""How a guest is refused: the status and the words, also behind a proxy that passes few of both."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil

from aiohttp import web

from mdsvc.documents.replies import text_reply
from mdsvc.errors import TooManyRequests
from mdsvc.guarding import refusal_of
from mdsvc.listening.connections import connection_of
from mdsvc.metrics import Metrics
from mdsvc.problems import RETRY_SECONDS, log_fault, statuses

_log = logging.getLogger(__name__)

_BEHIND_PROXY = {401: 403, 429: 503}
"""Statuses that Neutron's agent takes for its own failure, and what is said instead."""


def failed(
    request: web.BaseRequest, error: Exception, metrics: Metrics | None, *, proxied: bool
) -> web.Response:
    """What is wrong on this side is for the log alone; the guest is to come again."""
    if metrics and (reason := refusal_of(error)):
        metrics.refused(reason)
    status = statuses(error).guest
    if proxied:
        status = _BEHIND_PROXY.get(status, status)
    if isinstance(error, TooManyRequests):
        response = text_reply(str(error).encode(), status)
        response.headers["Retry-After"] = str(ceil(error.seconds))
        if connection_of(request).is_pipelined:
            response.force_close()  # the rest is not worth an answer each
        return response
    if status < 500:
        return text_reply(str(error).encode(errors="replace"), status)
    log_fault(_log, f"{request.method} {request.path} of {request.remote}", error)
    response = text_reply(b"the metadata cannot be read now; try again", 503)
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def not_allowed(methods: Mapping[str, object], *, proxied: bool) -> web.Response:
    """Which methods there are."""
    allowed = ", ".join(methods)
    if proxied:
        return text_reply(f"expected one of the methods {allowed}".encode(), 400)
    response = text_reply(f"expected one of the methods {allowed}".encode(), 405)
    response.headers["Allow"] = allowed
    return response
