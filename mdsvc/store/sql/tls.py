"""TLS to a database server, as its URL's options ask for it: those of PostgreSQL's own clients."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mdsvc.errors import BadInput

MODES = ("disable", "require", "verify-ca", "verify-full")
"""No TLS; with whoever answers; with who has a certificate of a CA; and of that host name."""

NAMES = ("sslmode", "sslrootcert", "sslcert", "sslkey")
ALIASES = {"ssl_ca": "sslrootcert", "ssl_cert": "sslcert", "ssl_key": "sslkey"}
"""As MariaDB's and MySQL's clients call them."""


def context(options: Mapping[str, str]) -> ssl.SSLContext | None:
    """The TLS of these options, None for none. Raises BadInput naming the option.

    Without ``sslmode`` it is ``verify-full`` where there is another of these options, else
    ``disable``. ``require`` with a CA is ``verify-ca``, as in PostgreSQL.
    """
    given = {ALIASES.get(name, name): value for name, value in options.items()}
    mode = given.get("sslmode", "disable" if given.keys().isdisjoint(NAMES) else "verify-full")
    if mode not in MODES:
        raise BadInput(f"sslmode: expected {', '.join(MODES[:-1])} or {MODES[-1]}")
    if mode == "disable":
        _refuse_others(given)
        return None
    made = ssl.create_default_context()
    made.check_hostname = mode == "verify-full"
    if mode == "require" and "sslrootcert" not in given:
        made.verify_mode = ssl.CERT_NONE
    _load(made, given)
    return made


def _refuse_others(given: Mapping[str, str]) -> None:
    for name in NAMES[1:]:
        if name in given:
            raise BadInput(f"{name}: expected another sslmode than disable beside it")


def _load(made: ssl.SSLContext, given: Mapping[str, str]) -> None:
    if "sslkey" in given and "sslcert" not in given:
        raise BadInput("sslkey: expected the certificate beside it, as sslcert")
    with _told("sslrootcert", "certificates in PEM"):
        if "sslrootcert" in given:
            made.load_verify_locations(cafile=given["sslrootcert"])
    with _told(
        "sslcert", "a certificate in PEM, and its key, there or as sslkey, without password"
    ):
        if "sslcert" in given:
            made.load_cert_chain(given["sslcert"], given.get("sslkey"), password=_no_password)


@contextmanager
def _told(option: str, expected: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"{option}: expected a file of {expected} ({reason})") from None


def _no_password() -> str:
    """Without it, OpenSSL would ask on the terminal."""
    return ""
