"""Instances: what the operator says of a guest, and, once placed, where it is."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated, Any, Literal

import msgspec

from mdsvc.forms import Form
from mdsvc.layout import Layout
from mdsvc.policy.flavor import Flavor, Image

Line = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
"""Text that is served as one line of a listing or leaf."""

Label = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Mac = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\Z")]
Tags = tuple[Label, ...]
VersionList = Literal["nova", "newest"]
"""What /openstack lists: what Nova lists, or only versions that have `dedicated_cpus`."""

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MAX_USER_DATA = 65535
"""Bytes; Nova's limit on user data, before it is encoded."""

DEFAULT_DOMAIN = "novalocal"
"""The domain of a guest that is given no hostname, as Nova's ``[api] dhcp_domain``."""


class Base64(Form, frozen=True):
    """Bytes that are not text, in JSON."""

    base64: str

    def __post_init__(self) -> None:
        try:
            base64.b64decode(self.base64, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("base64: expected base64 text") from None


def canonical_uuid(uuid: str) -> str:
    """The one spelling of a UUID, under which it is stored; what is none is left as it is."""
    return uuid.lower()


Content = str | Base64


def content_bytes(content: Content) -> bytes:
    """The bytes that a text or base64 form stands for."""
    if isinstance(content, Base64):
        return base64.b64decode(content.base64)
    return content.encode()


class Address(Form, frozen=True):
    """One IP address of a guest on one network, in the address' canonical spelling."""

    network: Label
    ip: str
    mac: Mac | None = None
    floating: bool = False

    def __post_init__(self) -> None:
        try:
            ip = str(ipaddress.ip_address("" if "%" in self.ip else self.ip))  # no zones
        except ValueError:
            raise ValueError(f"ip: expected an IPv4 or IPv6 address, got {self.ip!r}") from None
        msgspec.structs.force_setattr(self, "ip", ip)


class KeyPair(Form, frozen=True):
    """A public key; ``type`` as Nova has it."""

    name: Label
    public_key: Annotated[str, msgspec.Meta(min_length=1, max_length=65535)]
    type: Literal["ssh", "x509"] = "ssh"


class File(Form, frozen=True):
    """A file for the guest, offered under ``/openstack/content``."""

    path: Label
    content: Content


class Nic(Form, frozen=True, tag_field="type", tag="nic"):
    """A tagged or otherwise notable network interface."""

    mac: Mac
    bus: Line = "none"
    address: Line = "none"
    tags: Tags | None = None
    vlan: Annotated[int, msgspec.Meta(ge=0, le=4094)] | None = None
    vf_trusted: bool = False


class Disk(Form, frozen=True, tag_field="type", tag="disk"):
    """A disk, found in the guest by its serial, bus address or path."""

    bus: Line = "none"
    address: Line = "none"
    tags: Tags | None = None
    serial: Line | None = None
    path: Line | None = None


class Share(Form, frozen=True, tag_field="type", tag="share"):
    """A shared file system, mounted in the guest by its tag."""

    share_id: Label
    tag: Label
    bus: Line = "none"
    address: Line = "none"
    tags: Tags | None = None


class Instance(Form, frozen=True, kw_only=True):
    """A guest as its operator describes it."""

    uuid: str
    project_id: Label
    name: Label
    flavor: Flavor
    image: Image = msgspec.field(default_factory=Image)
    hostname: (
        Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})\Z")] | None
    ) = None
    addresses: tuple[Address, ...] = ()
    key_pairs: tuple[KeyPair, ...] = ()
    meta: dict[Label, str] = {}
    user_data: Content | None = None
    files: tuple[File, ...] = ()
    availability_zone: Line | None = None
    launch_index: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0
    reservation_id: Line | None = None
    security_groups: tuple[Label, ...] = ("default",)
    root_device_name: Line = "/dev/vda"
    devices: tuple[Nic | Disk | Share, ...] = ()
    network_data: dict[str, Any] | None = None
    version_list: VersionList | None = None

    def __post_init__(self) -> None:
        uuid = canonical_uuid(self.uuid)
        if not _UUID.fullmatch(uuid):
            raise ValueError(f"uuid: expected a UUID like {_EXAMPLE_UUID}, got {self.uuid!r}")
        defaults = {
            "uuid": uuid,
            "hostname": self.hostname or f"{_hostname(self.name, uuid)}.{DEFAULT_DOMAIN}",
            "reservation_id": self.reservation_id or f"r-{uuid[:8]}",
        }
        for field, value in defaults.items():
            msgspec.structs.force_setattr(self, field, value)
        if self.user_data is not None and len(content_bytes(self.user_data)) > _MAX_USER_DATA:
            raise ValueError(f"user_data: expected at most {_MAX_USER_DATA} bytes")
        _check_once([(a.network, a.ip) for a in self.addresses], "addresses: network and ip")
        _check_once([pair.name for pair in self.key_pairs], "key_pairs: name")


_EXAMPLE_UUID = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"


class PlacedInstance(Instance, frozen=True, kw_only=True):
    """A guest on its host. ``generation`` counts its changes, from 1."""

    host: str
    layout: Layout
    generation: int = 1


def place_instance(instance: Instance, host: str, layout: Layout) -> PlacedInstance:
    """The instance with its place."""
    fields = msgspec.structs.asdict(instance)
    return PlacedInstance(**fields, host=host, layout=layout)


def _hostname(name: str, uuid: str) -> str:
    """A host name out of a display name (Nova, ``utils.sanitize_hostname``)."""
    plain = re.sub(r"[^a-z0-9.-]+", "-", name.lower().replace("_", "-")).strip("-.")
    return plain[:63].strip("-.") or f"server-{uuid}"


def _check_once(values: list[Any], what: str) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{what}: expected each once, but {value!r} is there twice")
        seen.add(value)
