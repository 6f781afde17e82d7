"""TLS for a listener, whose certificate can be renewed while it runs."""

from __future__ import annotations

import ssl
from pathlib import Path

from mdsvc.errors import BadInput


class Tls:
    """A certificate with its key. Connections that are there keep the one that they began with."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """``certificate`` has the chain too, and the key where that is None. Raises BadInput."""
        self._certificate = certificate
        self._key = key
        self.context = self._loaded()

    def reload(self) -> None:
        """Take what the files have now. Raises BadInput, and goes on with what it had."""
        self._loaded()  # what does not belong together would spoil the context that is in use
        self.context.load_cert_chain(self._certificate, self._key, _no_password)

    def _loaded(self) -> ssl.SSLContext:
        files = {"tls_certificate": self._certificate, "tls_key": self._key}
        for setting, file in files.items():
            if file:
                _check_readable(setting, file)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self._certificate, self._key, _no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            with_key = f" and its key, tls_key {self._key}," if self._key else " and its key"
            expected = f"expected a certificate{with_key} in PEM, without a password"
            raise BadInput(f"tls_certificate {self._certificate}: {expected}: {error}") from None
        return context


def _check_readable(setting: str, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise BadInput(f"{setting} {file}: {error.strerror}") from None


def _no_password() -> str:
    """Else OpenSSL asks whoever has started the server."""
    return ""
