"""The words that requests are counted by: whatever guests send, there is no end of it."""

from __future__ import annotations

from collections.abc import Mapping

from mdsvc.versions import BY_NAME

OTHER = "other"

REFUSALS = (
    *("rate", "strangers", "at_once", "waits"),
    *("connections", "files"),
    *("token", "forwarded", "host", "signature", "user_data"),
    *("mac", "unresolved"),
)
"""Why a guest is not given what it asks for: how much it asks, how many connections there are, what
it brings, and who it is (docs/monitoring.md).
"""

_FILES = {name for version in BY_NAME.values() for name in version.files}
_OWN = ("layout", "dedicated_cpus", "shared_cpus", "status")
_EC2: Mapping[str, str] = {"meta-data": "ec2", "user-data": "user_data", "api": "token"}

_CLIENTS: Mapping[str, str] = {
    "cloud-init": "cloud-init",
    "ignition": "ignition",
    "afterburn": "afterburn",
    "cloudbase-init": "cloudbase-init",
    "mdguest": "mdguest",
    "aws-cli": "aws",
    "aws-sdk": "aws",
    "boto3": "aws",
    "botocore": "aws",
    "systemd": "systemd",
    "go-http-client": "go",
    "python": "python",
    "curl": "curl",
    "wget": "wget",
}
"""What a User-Agent begins with, in lower case."""


MOST_KNOWN = 40
"""Characters of a User-Agent that are looked at."""


def document_of(path: str) -> str:
    """The kind of document at a path: ``meta_data.json``, ``ec2``, ``listing`` or ``other``."""
    match [segment for segment in path.split("/") if segment]:
        case [] | ["openstack"] | ["openstack", _] | ["mdsvc"] | ["mdsvc", "v1"]:
            return "listing"
        case ["openstack", "content", _]:
            return "content"
        case ["openstack", _, name] if name in _FILES:
            return name
        case ["mdsvc", "v1", name] if name in _OWN:
            return name
        case [_, name, *_] if name in _EC2:
            return _EC2[name]
    return OTHER


def client_of(user_agent: str) -> str:
    """Who asks, as far as it says; ``none`` where it says nothing, as behind Neutron's agent."""
    if not user_agent:
        return "none"
    told = user_agent[:MOST_KNOWN].lower()
    return next((name for start, name in _CLIENTS.items() if told.startswith(start)), OTHER)
