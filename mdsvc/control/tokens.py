"""The operator API's tokens: making one, listing them, and taking one back."""

from __future__ import annotations

from collections.abc import Sequence
from time import time

import msgspec

from mdsvc.bearer import Bearer, Issued, Listed, TokenName, issue
from mdsvc.errors import Conflict, NotFound
from mdsvc.forms import from_builtins
from mdsvc.store import TokenStore


class _Named(msgspec.Struct):
    name: TokenName


async def create_token(store: TokenStore, name: str, read_only: bool) -> Issued:
    """Make a token of a new name. Raises BadInput, and Conflict where the name is taken."""
    from_builtins({"name": name}, _Named)
    issued, bearer = issue(name, read_only, int(time()))
    if not await store.add_bearer(bearer):
        raise Conflict(f"token {name}: expected a new name, but there is such a token already")
    return issued


async def list_tokens(store: TokenStore) -> Sequence[Listed]:
    """Every token, by name."""
    return [_listed(bearer) for bearer in await store.bearers()]


def _listed(bearer: Bearer) -> Listed:
    return Listed(bearer.name, bearer.read_only, bearer.created_at, bearer.used_at)


async def revoke_token(store: TokenStore, name: str) -> None:
    """Forget a token; running servers do within 2 seconds. Raises NotFound."""
    if not await store.remove_bearer(name):
        raise NotFound(f"token {name}: there is no such token")
