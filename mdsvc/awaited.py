"""Waiting for a document that is kept, and that the guest knows as it is."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from aiohttp import hdrs
from aiohttp.http import RawRequestMessage

from mdsvc.documents.answer import JSON, Answer, Path
from mdsvc.documents.replies import header_of
from mdsvc.errors import NotFound
from mdsvc.guests import Guests
from mdsvc.held import Held, known_etag, requested_wait
from mdsvc.instance import PlacedInstance


class Awaited(NamedTuple):
    """What is ``held``: a guest's request, and the answer as it was when it came."""

    guests: Guests
    guest: PlacedInstance
    path: Path
    answer: Answer
    message: RawRequestMessage
    peer: str | None
    began: float

    @property
    def uuid(self) -> str:
        return self.guest.uuid

    def come(self) -> None:
        self.guests.guard.begin(self.uuid)

    def go(self) -> None:
        self.guests.guard.end(self.uuid)

    def now(self) -> bytes:
        return self._sent(self.answer)

    async def changed(self) -> bytes | None:
        """Raises NotFound where the peer is that guest no more: it is gone, or its address is
        another one's; NoToken where it has to bring one by now.
        """
        guests, headers = self.guests, self.message.headers
        guest = await guests.identity.guest(guests.store, self.peer or "", headers)
        answer = guests.documents.find(guest, self.path) if guest.uuid == self.uuid else None
        if answer is None:
            raise NotFound("it is asked from elsewhere now, or the document is gone")
        guests.guard.check_token(headers, guest.uuid, guest.tokens)
        return self._sent(answer) if answer.etag != self.answer.etag else None

    def _sent(self, answer: Answer) -> bytes:
        return sent(self.guests, self.message, answer, self.began, with_etag=True)


def sent(
    guests: Guests,
    message: RawRequestMessage,
    answer: Answer,
    began: float,
    *,
    with_etag: bool = False,
) -> bytes:
    """The whole answer to a request that began then, by ``time.monotonic``; it is counted."""
    if guests.metrics:
        path, client = message.path.partition("?")[0], message.headers.get(hdrs.USER_AGENT, "")
        guests.metrics.answered(path, client, 200, monotonic() - began)
    content = answer.reply(guests.documents.entropy, with_etag)
    header = header_of(answer.content_type, answer.etag)
    return header.wire(content, message.version, keeps=not message.should_close)


def hold(guests: Guests, path: Path, message: RawRequestMessage, peer: str | None) -> Held | None:
    """A plain GET that is to wait, for a document of a guest alone; None where there is more to it.
    Raises whatever is wrong, and has changed nothing then.
    """
    query, began = message.url.query, monotonic()
    seconds = requested_wait(query, guests.longest_wait)
    if query.get("wait_for_change") != "true" or not seconds or guests.followed is None:
        return None
    guest = guests.identity.kept(guests.followed, peer, message.headers)
    answer = guests.documents.find(guest, path) if guest else None
    if not guest or not answer or answer.content_type != JSON:
        return None
    if known_etag(query, answer.etag) != answer.etag or guests.waiting.is_closed:
        return None
    guests.guard.check_waits(guests.waiting.count("instance", guest.uuid))
    guests.guard.admit_at_once(message.path, message.headers, guest.uuid, guest.tokens)
    asked = Awaited(guests, guest, path, answer, message, peer, began)
    return Held(guests.waiting, asked, seconds)
