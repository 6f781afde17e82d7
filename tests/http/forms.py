"""Guests of which much or little is said, put together of what can be said of one.

JSON forms: what Nova is shown is what the project is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from random import Random
from typing import Any

Json = dict[str, Any]

_MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0-1", "hw:numa_nodes": "2"}
_DEALT = {"resources:VCPU": "3", "resources:PCPU": "5", "hw:numa_nodes": "2"}
_REALTIME = {"hw:cpu_policy": "mixed", "hw:cpu_realtime": "1", "hw:cpu_realtime_mask": "1,3"}
_ISOLATE = {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"}

_SSH = {"name": "ops", "public_key": "ssh-ed25519 AAAA ops@example.org\n"}
_SSH2 = {"name": "size 2@3", "public_key": "ssh-rsa BBBB"}
_X509 = {"name": "windows", "type": "x509", "public_key": "-----BEGIN CERTIFICATE-----\nMIIB"}
_MOTD = {"path": "/etc/motd", "content": "Grüße\n"}
_BLOB = {"path": "/etc/blob", "content": {"base64": "AAEC/f7/"}}
_EMPTY = {"path": "/etc/empty", "content": ""}
_V4 = {"network": "a", "ip": "10.0.0.5", "mac": "fa:16:3e:00:00:01"}
_V4_2 = {"network": "b", "ip": "10.1.0.5"}
_V6 = {"network": "a", "ip": "2001:db8::5"}
_FLOATING = {"network": "public", "ip": "198.51.100.7", "floating": True}

OPTIONS: Mapping[str, Sequence[Any]] = {
    "extra_specs": ({}, {"hw:numa_nodes": "2"}, _ISOLATE, _MIXED, _DEALT, _REALTIME),
    "name": ("poor", "Größe 0", "under_score"),
    "hostname": (None, "h0.example.org"),
    "image": ({}, {"id": "70a599e0-31e7-49b7-b260-868f441e862b", "name": "debian"}),
    "addresses": ((), (_V4,), (_V6,), (_V6, _V4_2, _V4), (_V4, _FLOATING), (_V6, _FLOATING)),
    "key_pairs": ((), (_SSH,), (_X509,), (_SSH2, _SSH), (_X509, _SSH, _SSH2)),
    "meta": ({}, {"role": "dataplane", "città": 'a "quoted" ☃ \\'}),
    "user_data": (None, "", "#cloud-config\nhéllo\n", {"base64": "H4sIAP//AAH+"}),
    "files": ((), (_MOTD,), (_BLOB, _EMPTY, _MOTD)),
    "availability_zone": (None, "", "az1"),
    "launch_index": (0, 3),
    "reservation_id": (None, "r-12345678"),
    "security_groups": ((), ("default",), ("default", "größe 2")),
    "root_device_name": ("/dev/vda", "/dev/sda", "xvda"),
    "network_data": (None, {}, {"links": [], "networks": [{"id": "größe"}], "services": []}),
}

_BUSES: Sequence[Json] = (
    {},
    {"bus": "pci"},
    {"bus": "pci", "address": "0000:00:03.0"},
    {"bus": "usb", "address": "0:0"},
    {"bus": "scsi", "address": "0:0:0:1"},
    {"bus": "ide", "address": "0:1"},
    {"bus": "xen", "address": "51712"},
)
_TAGS: Sequence[Json] = ({}, {"tags": []}, {"tags": ["fabric", "größe"]})
_KINDS: Sequence[Sequence[Json]] = (
    (
        {"type": "nic", "mac": "fa:16:3e:00:00:01"},
        {"type": "nic", "mac": "fa:16:3e:00:00:01", "vlan": 0},
        {"type": "nic", "mac": "fa:16:3e:00:00:01", "vlan": 1000, "vf_trusted": True},
        {"type": "nic", "mac": "fa:16:3e:00:00:01", "vf_trusted": False},
    ),
    (
        {"type": "disk"},
        {"type": "disk", "serial": "d1"},
        {"type": "disk", "serial": "d1", "path": "/dev/sda"},
    ),
    ({"type": "share", "share_id": "e8debdc0-447a-4376-a10a-4cd9122d7986", "tag": "data"},),
)
DEVICES = [
    {**device, **bus, **tags}
    for kind in _KINDS
    for device, bus, tags in product(kind, _BUSES, _TAGS)
]


def form(extra_specs: Json, **fields: Any) -> Json:
    given = {name: value for name, value in fields.items() if value is not None}
    flavor = {"name": "m.größe", "vcpus": 8, "memory_mb": 512, "extra_specs": extra_specs}
    ids = {"uuid": "2b6f9d7c-3c55-4d1f-8f0e-5f0a3a1c9e11", "project_id": "8f2c7b1d9a6e4d35"}
    return {**ids, "flavor": flavor, **given}


def random_form(random: Random) -> Json:
    """One of each option, and some devices; the same random state makes the same guest."""
    chosen = {name: random.choice(values) for name, values in OPTIONS.items()}
    return form(**chosen, devices=random.sample(DEVICES, random.choice((0, 1, 8))))


POOR = form({}, name="poor")
ADDRESSED = form({}, name="addressed", addresses=(_V4,))
CERTIFIED = form({}, name="certified", key_pairs=(_X509,))
RICH = form(**{name: values[-1] for name, values in OPTIONS.items()}, devices=DEVICES)
