"""Where a metadata server is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mdguest.errors import BadInput
from mdguest.sources.documents import shown

URL_FORM = "http://HOST[:PORT][/PATH]"

_URL = re.compile(
    r"http://(?:\[(?P<six>[0-9A-Fa-f:.]+)(?:%(?:25)?(?P<zone>[^\]/\s]+))?\]"
    r"|(?P<name>[\w-]{1,63}(?:\.[\w-]{1,63})*))"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<prefix>(?:/[\w.~-]+)*)/?",
    re.ASCII,
)


@dataclass(frozen=True)
class Server:
    """The base of a server's documents. ``zone`` is the interface of a link-local address."""

    host: str
    port: int = 80
    zone: str = ""
    prefix: str = ""

    @classmethod
    def parse(cls, url: str, source: str = "metadata") -> Server:
        """Read ``http://HOST[:PORT][/PATH]``; the host may be ``[fe80::1%eth0]``."""
        match = _URL.fullmatch(url)
        if not match or not 0 < int(match["port"] or 80) <= 65535:
            raise BadInput(f"--source {source}: expected {URL_FORM}, got {shown(url)}")
        host = match["six"] or match["name"]
        return cls(host, int(match["port"] or 80), match["zone"] or "", match["prefix"])

    def __str__(self) -> str:
        """The URL, as ``parse`` takes it; a zone is written as RFC 6874 has it."""
        host = f"{self.host}%25{self.zone}" if self.zone else self.host
        return f"http://{self._authority(host)}{self.prefix}"

    @property
    def node(self) -> str:
        """The host as the resolver takes it: a zone stands behind its address."""
        return f"{self.host}%{self.zone}" if self.zone else self.host

    @property
    def host_header(self) -> str:
        """Without the zone, which means something in this guest alone (RFC 6874, section 4)."""
        return self._authority(self.host)

    def _authority(self, host: str) -> str:
        bracketed = f"[{host}]" if ":" in host else host
        return bracketed if self.port == 80 else f"{bracketed}:{self.port}"
