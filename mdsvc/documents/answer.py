"""One rendered document, and the three kinds of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from mdsvc.forms import to_json
from mdsvc.versions import Entropy

JSON = "application/json"
TEXT = "text/plain; charset=UTF-8"

Path = tuple[str, ...]
"""The non-empty segments of a path."""


class Answer(msgspec.Struct, frozen=True):
    """One document. ``etag`` leaves the fresh fields out, which are new in every reply."""

    body: bytes
    content_type: str
    etag: str
    fresh: Mapping[str, Callable[[Entropy], Any]] = {}
    shows_etag: bool = False  # in the body, always; Nova's own documents only when asked

    def reply(self, entropy: Entropy, with_etag: bool = False) -> bytes:
        """The body to send: fresh fields filled in, and the etag for who cannot see headers."""
        extra = {name: value(entropy) for name, value in self.fresh.items()}
        if with_etag or self.shows_etag:
            extra["etag"] = self.etag
        if not extra:
            return self.body
        separator = b"," if len(self.body) > 2 else b""
        return self.body[:-1] + separator + to_json(extra)[1:]


def listing(names: Iterable[str]) -> Answer:
    """One name a line, and no newline at the end."""
    return text("\n".join(names).encode())


def text(body: bytes) -> Answer:
    """Plain text."""
    return Answer(body, TEXT, _etag(body))


def json(value: Any, fresh: Mapping[str, Callable[[Entropy], Any]] | None = None) -> Answer:
    """A JSON object; ``fresh`` are the fields that are new in every reply."""
    body = to_json(value)
    return Answer(body, JSON, _etag(body), fresh or {})


def joined(answer: Answer, members: Mapping[str, Any]) -> Answer:
    """A JSON object with these members too, which its etag then covers."""
    if not members:
        return answer
    separator = b"," if len(answer.body) > 2 else b""
    body = answer.body[:-1] + separator + to_json(members)[1:]
    return msgspec.structs.replace(answer, body=body, etag=_etag(body))


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
