"""Bearer tokens of the operator's API: what is kept of one, and whether a secret is that of one.

A secret is 256 random bits, so its plain SHA-256 can be kept: nobody finds such a secret by trying,
which is all that a slow hash with a salt would make harder, at each request.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Annotated

import msgspec

from mdsvc.forms import Form
from mdsvc.forms.rules import rule

PREFIX = "mdsvc_"
"""With which every secret begins, so that whatever looks for leaked secrets knows one."""

TokenName = Annotated[
    str,
    rule(
        "1 to 64 of A-Z, a-z, 0-9, dot, hyphen and underscore, the first a letter or digit",
        "[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    ),
]


class Bearer(Form, frozen=True, kw_only=True):
    """A token as it is kept. ``digest`` is the SHA-256 of its secret, in hex; times are in whole
    seconds since 1970.
    """

    name: TokenName
    digest: str
    read_only: bool = False
    created_at: int
    used_at: int | None = None


class Issued(msgspec.Struct, frozen=True):
    """A new token with its secret, which is shown this once."""

    name: str
    token: str
    read_only: bool


class Listed(msgspec.Struct, frozen=True):
    """A token as it is listed: all but what could tell its secret."""

    name: str
    read_only: bool
    created_at: int
    used_at: int | None


def issue(name: str, read_only: bool, now: int) -> tuple[Issued, Bearer]:
    """A new token: as its owner gets it, and as it is kept."""
    secret = PREFIX + secrets.token_urlsafe(32)
    kept = Bearer(name=name, digest=digest(secret), read_only=read_only, created_at=now)
    return Issued(name, secret, read_only), kept


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def bearer_of(secret: str, bearers: Iterable[Bearer]) -> Bearer | None:
    """The token that has this secret. It takes as long whichever it is, and where none is it."""
    given = digest(secret)
    matches = [each for each in bearers if secrets.compare_digest(each.digest, given)]
    return matches[0] if matches else None
