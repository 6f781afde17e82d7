"""Session tokens, as EC2's IMDSv2 has them: whoever can only make a guest fetch a URL gets none.

Nothing of a token is kept. It says until when it is good and is authenticated, with the UUID of
the guest that it is for, by HMAC-SHA256 under a key that all servers share which the guest may ask.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from multidict import MultiMapping, istr

from mdsvc.errors import BadInput, NoToken
from mdsvc.instance import TokenMode

LONGEST_TTL = 21600
"""Seconds."""

TTL_HEADERS = ("X-aws-ec2-metadata-token-ttl-seconds", "X-mdsvc-metadata-token-ttl-seconds")
TOKEN_HEADERS = (istr("X-aws-ec2-metadata-token"), istr("X-mdsvc-metadata-token"))

_VERSION = b"\1"
_TIME_BYTES = 8
_MAC_BYTES = 32
_LONGEST = 80
"""Characters of a token that is looked at; ours have 55."""

_SHORTEST_SECRET = 16


class Keys:
    """Keys of tokens: the first makes them, and those that any has made are good."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """``secrets`` may serve for something else too: the keys are derived from them."""
        self._keys = [hmac.digest(secret, b"mdsvc session tokens", "sha256") for secret in secrets]

    def mac(self, message: bytes) -> bytes:
        return hmac.digest(self._keys[0], message, "sha256")

    def is_mac(self, message: bytes, mac: bytes) -> bool:
        macs = [hmac.digest(key, message, "sha256") for key in self._keys]
        return any(hmac.compare_digest(known, mac) for known in macs)

    def take(self, other: Keys) -> None:
        """Go on with others."""
        self._keys = other._keys  # of the same class


_OF_THIS_SERVER = os.urandom(32)
"""Its workers have it too."""


def random_keys() -> Keys:
    """For a server that shares them with nobody: they end with it."""
    return Keys([_OF_THIS_SERVER])


def read_keys(file: Path) -> Keys:
    """A secret a line, the first makes tokens; lines that are empty or begin with # are none.

    Raises BadInput.
    """
    where = f"token_key_file: {file}"
    try:
        lines = [line.strip() for line in file.read_bytes().splitlines()]
    except OSError as error:
        raise BadInput(f"{where}: {error.strerror}") from None
    secrets = [line for line in lines if line and not line.startswith(b"#")]
    if not secrets or min(map(len, secrets)) < _SHORTEST_SECRET:
        expected = f"expected a secret of at least {_SHORTEST_SECRET} characters a line"
        raise BadInput(f"{where}: {expected}, as openssl rand -hex 32 prints")
    return Keys(secrets)


def ttl_of(headers: MultiMapping[str], default: int | None) -> int:
    """For how many seconds a token is asked for. Raises BadInput."""
    values = _values(headers, TTL_HEADERS)
    if not values and default is not None:
        return default
    [text] = values if len(values) == 1 else [""]
    is_number = text.isascii() and text.isdigit() and len(text) <= 5
    if not is_number or not 1 <= int(text) <= LONGEST_TTL:
        raise BadInput(f"{TTL_HEADERS[0]}: expected a whole number from 1 to {LONGEST_TTL}, once")
    return int(text)


def token_of(keys: Keys, uuid: str, until: int) -> str:
    """A token for a guest, good until then, in seconds since 1970."""
    head = _VERSION + until.to_bytes(_TIME_BYTES, "big")
    return base64.urlsafe_b64encode(head + keys.mac(head + uuid.encode())).decode().rstrip("=")


def is_token_of(keys: Keys, uuid: str, token: str, now: int) -> bool:
    """Whether that is a token of the guest's, and is good now."""
    if len(token) > _LONGEST or not token.isascii():
        return False
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    head, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
    if len(head) != 1 + _TIME_BYTES or head[:1] != _VERSION:
        return False
    is_good = keys.is_mac(head + uuid.encode(), mac)
    return is_good and now < int.from_bytes(head[1:], "big") <= now + LONGEST_TTL + _SKEW


_SKEW = 60
"""Seconds that the clocks of servers with the same keys may be apart."""


def check_token(
    mode: TokenMode, keys: Keys, headers: MultiMapping[str], uuid: str, now: int
) -> None:
    """Raises NoToken. Where tokens are optional, one that is brought must be good all the same."""
    aws, own = TOKEN_HEADERS
    if mode == "off" or (mode == "optional" and aws not in headers and own not in headers):
        return
    tokens = _values(headers, TOKEN_HEADERS)
    if not tokens and mode == "required":
        raise NoToken("expected a session token: PUT /latest/api/token")
    if tokens and not (len(tokens) == 1 and is_token_of(keys, uuid, tokens.pop(), now)):
        raise NoToken("expected a session token that this guest was given, and that is not over")


SHUT_OUT = "tokens: required, which behind Neutron's agent shuts out: no header of a guest arrives"
"""What an operator is told who requires them there, of one guest or of all."""


def _values(headers: MultiMapping[str], names: Sequence[str]) -> set[str]:
    return {value.strip() for name in names for value in headers.getall(name, [])}
