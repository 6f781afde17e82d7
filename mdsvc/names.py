"""Names that reach guests (R29): what each may be, and its one spelling.

Guests read names in lists of one a line. Their programs split such lists at every line end that
Unicode knows, take a name that ends in ``/`` for a folder, cut a host name at its first dot, and
know a network interface by its MAC address in lower case.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from mdsvc.forms.rules import rule

# ---- one line ----

_BREAKS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""Control characters and line ends: all that ``str.splitlines`` splits at, and more."""

_ONE_LINE = "without control characters or line ends"

Line = Annotated[str, rule(f"text of at most 255 characters {_ONE_LINE}", f"[^{_BREAKS}]{{0,255}}")]
"""Text that is served as one line of a list or leaf."""

Label = Annotated[str, rule(f"text of 1 to 255 characters {_ONE_LINE}", f"[^{_BREAKS}]{{1,255}}")]

_BREAK = re.compile(f"[{_BREAKS}]")


def one_line(text: str) -> str:
    """Text from before it had to be one line, as one: a blank for each break."""
    return _BREAK.sub(" ", text)


# ---- hosts and guests ----

HOST_NAME_WORDS = (
    "1 to 255 of A-Z, a-z, 0-9, dot, hyphen and underscore, the first a letter or digit"
)
_HOST_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,254}"

HostName = Annotated[str, rule(HOST_NAME_WORDS, _HOST_NAME)]
"""What an operator calls a hypervisor."""


def is_host_name(text: str) -> bool:
    """Whether a host may have that name."""
    return re.fullmatch(_HOST_NAME, text) is not None


_DNS_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

GuestHostname = Annotated[
    str,
    rule(
        "a host name (RFC 1123): parts of 1 to 63 letters, digits and inner hyphens, with single "
        "dots between them, 253 characters in all, and no IP address",
        rf"(?=.{{1,253}}$)(?![0-9]+(?:\.[0-9]+){{3}}$){_DNS_LABEL}(?:\.{_DNS_LABEL})*",
    ),
]
"""RFC 1123, 2.1: letters, digits and hyphens as in RFC 952, a digit in front allowed, and never
of the form #.#.#.#; 63 characters in a label are RFC 1035's, and 253 what its 255 octets leave."""

_LONGEST_LABEL = 63


def hostname_from(display_name: str) -> str:
    """The host name, without a domain, that a display name makes; empty where it makes none.

    Nova's rule (``nova.utils.sanitize_hostname``), but for letters that are not ASCII's: they go.
    """
    hyphened = re.sub(r"[ _.]", "-", display_name)
    plain = re.sub(r"[^A-Za-z0-9-]", "", hyphened).lower().strip("-")
    return plain[:_LONGEST_LABEL].rstrip("-")


_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

Uuid = Annotated[str, rule("a UUID like 1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52", _UUID)]
"""A guest's UUID as it may be given."""


def is_uuid(text: str) -> bool:
    """Whether a guest may have that UUID."""
    return re.fullmatch(_UUID, text) is not None


def canonical_uuid(uuid: str) -> str:
    """The one spelling of a guest's UUID, under which it is stored; what is none is not found."""
    return uuid.lower()


# ---- keys ----

_KEY_PAIR_NAME = "[A-Za-z0-9_@.-](?:[A-Za-z0-9 _@.-]{0,253}[A-Za-z0-9_@.-])?"

KeyPairName = Annotated[
    str,
    rule(
        "1 to 255 of A-Z, a-z, 0-9, space and _ - @ . with no space at either end",
        _KEY_PAIR_NAME,
    ),
]
"""Nova's rule; a space at an end is lost where a client strips lines."""

PublicKey = Annotated[str, rule("text of 1 to 65535 characters", r"[\s\S]{1,65535}")]

_SSH_KEY = re.compile(rf"(?:\t|[^{_BREAKS}])+(?:\r?\n)?")


def is_one_key(public_key: str) -> bool:
    """Whether it is one line, as an SSH key is; with the line end that files end in, or without."""
    return _SSH_KEY.fullmatch(public_key) is not None


def listed_key_name(name: str, number: int) -> str:
    """The name of a key pair as a list may show it; a safe one for a name from before the rule,
    and one that no other key pair can have.
    """
    return name if re.fullmatch(_KEY_PAIR_NAME, name) else f"key#{number}"


# ---- addresses ----

Mac = Annotated[
    str, rule("a MAC address like fa:16:3e:aa:bb:cc", "[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
]


def canonical_ip(text: str) -> str:
    """The one spelling of an IP address: compressed, in lower case, and IPv4 where it is IPv4
    mapped into IPv6 (RFC 4291, 2.5.5.2). Raises ValueError; an address with a zone is none.
    """
    ip = ipaddress.ip_address("" if "%" in text else text)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


_MACS_OF_A_LINK = ("ethernet_mac_address", "vlan_mac_address")


def with_canonical_macs(network_data: dict[str, Any]) -> dict[str, Any]:
    """The operator's own network data with the MAC addresses of its links in lower case."""
    links = network_data.get("links")
    if not isinstance(links, list | tuple):
        return network_data
    return {**network_data, "links": [_with_canonical_macs(link) for link in links]}


def _with_canonical_macs(link: Any) -> Any:
    if not isinstance(link, dict):
        return link
    macs = {name: link[name] for name in _MACS_OF_A_LINK if isinstance(link.get(name), str)}
    return {**link, **{name: mac.lower() for name, mac in macs.items()}}
