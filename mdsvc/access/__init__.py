"""Which operator is asking, and what they may: by the token that a request bears.

Where no token exists, whoever reaches this machine's own listener may do everything. So a web page
must not reach it through its operator's browser: ``addressed`` sees to what a request calls it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, time

import msgspec

from mdsvc.access.sessions import session_bearer, start_session
from mdsvc.bearer import Bearer, bearer_of
from mdsvc.errors import Forbidden, MdsvcError, Unavailable, Unidentified
from mdsvc.store import TokenStore

FRESH_SECONDS = 1.0
"""For how long tokens that were read are good: new and revoked ones are known within 2 seconds."""

PATIENCE_SECONDS = 5
"""For how long whoever asks waits for tokens to be read."""

NOTED_SECONDS = 60
"""How often it is written down that a token is used."""

HOW_TO = "make one: mdsvc token create NAME"

_log = logging.getLogger(__name__)


class Caller(msgspec.Struct, frozen=True):
    """Who is asking; nobody has a name where no token is needed."""

    name: str | None
    read_only: bool = False

    def check_may_change(self) -> None:
        """Raises Forbidden where what they ask changes something, and they may only read."""
        if self.read_only:
            raise Forbidden(f"token {self.name} is for reading only")


class Access:
    """Who may ask at one listener. ``is_local``: only this machine reaches it."""

    def __init__(
        self, store: TokenStore, is_local: bool, clock: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._is_local = is_local
        self._clock = clock
        self._bearers: Sequence[Bearer] = ()
        self._read_at = clock() - FRESH_SECONDS
        self._reading: asyncio.Task[None] | None = None
        self._noted: dict[str, float] = {}
        self._notes: set[asyncio.Task[None]] = set()

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who asks with these headers. Raises Unidentified."""
        bearers = await self.bearers()
        if not bearers and self._is_local:
            return Caller(None)
        scheme, _, secret = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unidentified(f"expected the header Authorization: Bearer TOKEN; {HOW_TO}")
        bearer = bearer_of(secret.strip(), bearers)
        if bearer is None:
            raise Unidentified("there is no such token, or no more")
        self._note(bearer)
        return Caller(bearer.name, bearer.read_only)

    async def visitor(self, cookie: str) -> Caller:
        """Whose the page's session with this cookie is. Raises Unidentified."""
        bearers = await self.bearers()
        if not bearers and self._is_local:
            return Caller(None)
        bearer = session_bearer(cookie, bearers, int(time()))
        if bearer is None:
            raise Unidentified("there is no such session, or no more")
        self._note(bearer)
        return Caller(bearer.name, bearer.read_only)

    async def log_in(self, secret: str) -> str:
        """The cookie of a session for whoever has this token. Raises Unidentified."""
        cookie = start_session(secret, await self.bearers(), int(time()))
        if cookie is None:
            raise Unidentified("there is no such token, or no more")
        return cookie

    async def bearers(self) -> Sequence[Bearer]:
        """Every token, as it was a second ago at most."""
        if self._clock() - self._read_at >= FRESH_SECONDS:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
                self._reading.add_done_callback(self._read_done)
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await asyncio.shield(self._reading)  # one reads for all who wait
            except TimeoutError:
                raise Unavailable("the store does not answer: tokens cannot be read") from None
        return self._bearers

    async def close(self) -> None:
        """Let what is being noted end, and read no more."""
        reading = [self._reading] if self._reading else []
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, *self._notes, return_exceptions=True)

    async def _read(self) -> None:
        asked_at = self._clock()
        self._bearers = await self._store.bearers()
        self._read_at = asked_at

    def _read_done(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # those who wait are told; there may be none left

    def _note(self, bearer: Bearer) -> None:
        """Write down that it is used, beside the answer, which does not wait for that."""
        now = self._clock()
        if now - self._noted.get(bearer.name, now - NOTED_SECONDS) < NOTED_SECONDS:
            return
        self._noted[bearer.name] = now
        task = asyncio.create_task(self._write(bearer.name))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _write(self, name: str) -> None:
        try:
            await self._store.note_bearer_used(name, int(time()))
        except MdsvcError as error:  # a store that can only be read still answers
            _log.debug("token %s: its use cannot be written down: %s", name, error)
