"""One rendered document, and the three kinds of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from mdsvc.forms import to_json
from mdsvc.versions import Entropy

JSON = "application/json"
TEXT = "text/plain; charset=UTF-8"
BYTES = "text/plain; charset=ISO-8859-1"
"""Of what is no UTF-8: Neutron's agent decodes and encodes an answer, and every byte is a character
of this."""

Path = tuple[str, ...]
"""The non-empty segments of a path."""


class Fresh(NamedTuple):
    """A member of a JSON object that is new in every reply: its name as it stands there, and how
    its value is made.
    """

    name: bytes
    value: Callable[[Entropy], bytes]


class Answer(msgspec.Struct, frozen=True):
    """One document. ``etag`` leaves the fresh fields out, which are new in every reply."""

    body: bytes
    content_type: str
    etag: str
    fresh: tuple[Fresh, ...] = ()
    shows_etag: bool = False  # in the body, always; Nova's own documents only when asked

    def reply(self, entropy: Entropy, with_etag: bool = False) -> bytes:
        """The body to send: fresh fields filled in, and the etag for who cannot see headers."""
        extra = [name + value(entropy) for name, value in self.fresh]
        if with_etag or self.shows_etag:
            extra.append(b'"etag":"%b"' % self.etag.encode())
        if not extra:
            return self.body
        separator = b"," if len(self.body) > 2 else b""
        return b"%b%b%b}" % (self.body[:-1], separator, b",".join(extra))


def listing(names: Iterable[str]) -> Answer:
    """One name a line, and no newline at the end."""
    return text("\n".join(names).encode())


def text(body: bytes) -> Answer:
    """Plain text, or bytes of any kind."""
    return Answer(body, text_type(body), _etag(body))


def text_type(body: bytes) -> str:
    """The content type that says what the bytes are, so that they arrive as they are."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return BYTES
    return TEXT


def json(value: Any, fresh: Mapping[str, Callable[[Entropy], bytes]] | None = None) -> Answer:
    """A JSON object; ``fresh`` are the fields that are new in every reply."""
    body = to_json(value)
    members = [Fresh(to_json(name) + b":", make) for name, make in (fresh or {}).items()]
    return Answer(body, JSON, _etag(body), tuple(members))


def joined(answer: Answer, members: Mapping[str, Any]) -> Answer:
    """A JSON object with these members too, which its etag then covers."""
    if not members:
        return answer
    separator = b"," if len(answer.body) > 2 else b""
    body = answer.body[:-1] + separator + to_json(members)[1:]
    return msgspec.structs.replace(answer, body=body, etag=_etag(body))


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
