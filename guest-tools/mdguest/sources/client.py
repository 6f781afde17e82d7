"""Asks one server: again where it falters, with a session token where it wants one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.sources.documents import shown
from mdguest.sources.exchange import Reply, Request, exchange

if TYPE_CHECKING:
    from mdguest.sources.patience import Patience
    from mdguest.sources.server import Server

NOT_THERE = (404, 405, 410)
_LATER = (429, *range(500, 600))

_TOKEN_PATH = "/latest/api/token"  # noqa: S105  # where tokens come from
_TOKEN_NAMES = ("X-metadata-token", "X-aws-ec2-metadata-token")
"""The header by its general name and by Amazon's; a server takes no notice of the other one."""

_TOKEN_SECONDS = "21600"  # noqa: S105  # as long as any server grants
_TOKEN = re.compile(rb"[!-~]{1,4096}")


class _Later(Unavailable):
    """The server says that it cannot answer now, and perhaps when to come again."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Refusal(BadInput):
    """The server does not give what was asked for, and has not said that it is not there."""


class Client:
    """One server, until the moment ``ends``; the session token is kept as long."""

    def __init__(self, server: Server, patience: Patience, ends: float) -> None:
        self.server = server
        self._patience = patience
        self._ends = ends
        self._token: dict[str, str] = {}
        self._met = False

    def get(self, path: str, hold: float = 0.0) -> bytes | None:
        """A document, for which the server may take ``hold`` seconds; None where it has none.

        Raises Refusal, and what ``exchange`` raises.
        """
        reply = self.ask("GET", path, hold=hold)
        if reply.status in NOT_THERE:
            return None
        if reply.status != 200:
            raise Refusal(f"{self.server}{path}: expected a document, got {_said(reply)}")
        return reply.body

    def ask(self, method: str, path: str, body: bytes = b"", hold: float = 0.0) -> Reply:
        """The answer, of whatever status but 429 and 5xx."""
        kind = {"Content-Type": "application/json"} if body else {}
        reply = self._patiently(Request(method, path, {**kind, **self._token}, body), hold)
        if reply.status == 401:
            self._token = self._new_token()
            reply = self._patiently(Request(method, path, {**kind, **self._token}, body), hold)
        return reply

    def _patiently(self, request: Request, hold: float) -> Reply:
        failures = 0
        while True:
            try:
                return self._once(request, hold)
            except Unreachable as error:
                failures += 1
                there = isinstance(error, Unavailable)
                pause = self._patience.pause(failures, getattr(error, "seconds", 0.0))
                if failures >= (self._patience.tries if there else self._patience.knocks):
                    raise
                if self._patience.clock() + pause >= self._ends:
                    raise
            self._patience.sleep(pause)

    def _once(self, request: Request, hold: float) -> Reply:
        expires = min(self._patience.clock() + hold + self._patience.request, self._ends)
        reply = self._answer(request, expires)
        if reply.status in _LATER:
            message = f"{self.server}{request.path}: it cannot answer now (HTTP {reply.status})"
            raise _Later(message, reply.retry_after)
        return reply

    def _answer(self, request: Request, expires: float) -> Reply:
        """Ask; a server that was there a moment ago is away for a moment, and not missing."""
        try:
            reply = exchange(self.server, request, self._patience, expires)
        except Unreachable as error:
            if self._met and not isinstance(error, Unavailable):
                raise Unavailable(str(error)) from None
            self._met = isinstance(error, Unavailable)
            raise
        self._met = True
        return reply

    def _new_token(self) -> dict[str, str]:
        """The headers of a new session (IMDSv2)."""
        lifetime = {f"{name}-ttl-seconds": _TOKEN_SECONDS for name in _TOKEN_NAMES}
        reply = self._patiently(Request("PUT", _TOKEN_PATH, lifetime), 0.0)
        token = _TOKEN.fullmatch(reply.body.strip())
        if reply.status != 200 or not token:
            where = f"{self.server}{_TOKEN_PATH}"
            raise BadInput(f"{where}: expected a session token, got {_said(reply)}")
        return dict.fromkeys(_TOKEN_NAMES, token[0].decode())


def _said(reply: Reply) -> str:
    """The status, and the first line, which often says why."""
    said = reply.body.decode("utf-8", "replace").strip().partition("\n")[0]
    text = f"HTTP {reply.status}"
    if 300 <= reply.status < 400:
        return f"{text}, a redirect, which is not followed"
    return f"{text}: {shown(said)}" if said else text
