"""Whether a token is one of the cloud's own services, as Keystone says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from time import monotonic, time
from typing import Any, NamedTuple

from mdsvc.errors import Forbidden, NotFound, Unavailable, Unidentified
from mdsvc.nova.keeping import Keeping
from mdsvc.nova.keystone import CloudSession, Refusal

FRESH_SECONDS = 60.0
"""How long a token that was revoked may go on to be taken."""

ROLES = frozenset({"service", "admin"})
"""Of these it has to have one. Keystone's roles are the same however they are written."""

ROOM = 1000


class _Verdict(NamedTuple):
    """What is kept of a token: when it is over, in seconds since 1970 (0: it is no good), and its
    roles in lower case.
    """

    expires_at: float
    roles: frozenset[str]


class Tokens:
    """Tokens as they come in ``X-Auth-Token``. While Keystone does not answer, one that it knew
    lately is good until it is over.
    """

    def __init__(
        self,
        cloud: CloudSession,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], float] = time,
    ) -> None:
        self._cloud = cloud
        self._now = now
        self._kept = Keeping(self._fetch, FRESH_SECONDS, self._may_be_kept, clock, ROOM)

    async def check(self, token: str, seconds: float) -> None:
        """Raises Unidentified, Forbidden, or Unavailable where that is not known in time."""
        if not (token and token.isascii() and token.isprintable()):
            raise Unidentified("X-Auth-Token: expected a token of Keystone's")
        verdict = await self._kept.get(token, seconds)
        if verdict.expires_at <= self._now():
            raise Unidentified("X-Auth-Token: this token is good no more")
        if not verdict.roles & ROLES:
            raise Forbidden("X-Auth-Token: expected the role service or admin")

    async def close(self) -> None:
        """Ask no more."""
        await self._kept.close()

    def _may_be_kept(self, verdict: _Verdict) -> bool:
        """One that is over is asked for once more, as Keystone's clock may be another."""
        return verdict.expires_at == 0 or verdict.expires_at > self._now()

    async def _fetch(self, token: str) -> _Verdict:
        try:
            return _verdict(await self._cloud.token(token))
        except NotFound:
            return _Verdict(0, frozenset())
        except Forbidden as error:
            raise Refusal(f"we may not ask whose a token is: {error}") from None


def _verdict(token: Mapping[str, Any]) -> _Verdict:
    """Raises Unavailable where this is no answer of Keystone's."""
    try:
        expires_at = datetime.fromisoformat(token["expires_at"]).timestamp()
        roles = frozenset(str(role["name"]).lower() for role in token.get("roles") or ())
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"Keystone's answer on a token cannot be read: {error}") from None
    return _Verdict(expires_at, roles)
