"""Instances: what the operator says of a guest, and, once placed, where it is."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Literal

import msgspec

from mdsvc.forms import Form
from mdsvc.layout import Layout
from mdsvc.names import (
    GuestHostname,
    KeyPairName,
    Label,
    Line,
    Mac,
    PublicKey,
    canonical_ip,
    canonical_uuid,
    hostname_from,
    is_one_key,
    with_canonical_macs,
)
from mdsvc.policy.flavor import Flavor, Image

Tags = tuple[Label, ...]
VersionList = Literal["nova", "newest"]
"""What /openstack lists: what Nova lists, or only versions that have `dedicated_cpus`."""
TokenMode = Literal["off", "optional", "required"]
"""Whether there are session tokens, and whether a guest has to bring one."""

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


Content = str | Base64


def content_bytes(content: Content) -> bytes:
    """The bytes that a text or base64 form stands for."""
    if isinstance(content, Base64):
        return base64.b64decode(content.base64)
    return content.encode()


def content_of(data: bytes) -> Content:
    """The form of some bytes: text where they are text that a form can hold."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return Base64(base64.b64encode(data).decode()) if "\0" in text else text


class Address(Form, frozen=True):
    """One IP address of a guest on one network, both addresses in their one spelling."""

    network: Label
    ip: str
    mac: Mac | None = None
    floating: bool = False

    def __post_init__(self) -> None:
        try:
            ip = canonical_ip(self.ip)
        except ValueError:
            raise ValueError(
                f"ip: expected an IPv4 or IPv6 address, got {self.ip[:60]!r}"
            ) from None
        msgspec.structs.force_setattr(self, "ip", ip)
        msgspec.structs.force_setattr(self, "mac", self.mac and self.mac.lower())


class KeyPair(Form, frozen=True):
    """A public key, or a certificate, which is no SSH key; ``type`` as Nova has it."""

    name: KeyPairName
    public_key: PublicKey
    type: Literal["ssh", "x509"] = "ssh"

    def check(self) -> None:
        if self.type == "ssh" and not is_one_key(self.public_key):
            raise ValueError("public_key: expected one line, as the type is ssh")


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

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "mac", self.mac.lower())


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
    hostname: GuestHostname | None = None
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
    tokens: TokenMode | None = None

    def __post_init__(self) -> None:
        uuid = canonical_uuid(self.uuid)
        if not _UUID.fullmatch(uuid):
            raise ValueError(f"uuid: expected a UUID like {_EXAMPLE_UUID}, got {self.uuid[:60]!r}")
        for field, value in self._filled_in(uuid).items():
            msgspec.structs.force_setattr(self, field, value)
        if self.user_data is not None and len(content_bytes(self.user_data)) > _MAX_USER_DATA:
            raise ValueError(f"user_data: expected at most {_MAX_USER_DATA} bytes")

    def _filled_in(self, uuid: str) -> dict[str, Any]:
        """What has a default, or one spelling."""
        hostname = f"{hostname_from(self.name) or f'server-{uuid}'}.{DEFAULT_DOMAIN}"
        data = self.network_data
        return {
            "uuid": uuid,
            "hostname": hostname if self.hostname is None else self.hostname,
            "reservation_id": self.reservation_id or f"r-{uuid[:8]}",
            "network_data": None if data is None else with_canonical_macs(data),
        }

    def check(self) -> None:
        _check_once([(a.network, a.ip) for a in self.addresses], "addresses: network and ip")
        _check_once([pair.name for pair in self.key_pairs], "key_pairs: name")


_EXAMPLE_UUID = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"


class PlacedInstance(Instance, frozen=True, kw_only=True):
    """A guest on its host. ``generation`` counts its changes, from 1."""

    host: str
    layout: Layout
    generation: int = 1


def place_instance(
    instance: Instance, host: str, layout: Layout, generation: int = 1
) -> PlacedInstance:
    """The instance with its place."""
    fields = msgspec.structs.asdict(instance)
    return PlacedInstance(**fields, host=host, layout=layout, generation=generation)


def macs_on(instance: Instance, network: str) -> set[str]:
    """The guest's MAC addresses on a network; it may answer for each of its IPs with each."""
    return {a.mac for a in instance.addresses if a.network == network and a.mac}


def _check_once(values: list[Any], what: str) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{what}: expected each once, but {value!r} is there twice")
        seen.add(value)
