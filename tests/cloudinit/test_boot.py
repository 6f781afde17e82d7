"""What Debian's cloud-init, unchanged, learns from the server."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections import Counter
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from functools import partial
from pathlib import Path

import pytest

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.demo import sample
from mdsvc.demo.guest import boot as boot_cloud_init
from mdsvc.demo.network import METADATA_IPV4, enter
from mdsvc.errors import MdsvcError
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.server import listeners
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from tests.cli.command import MDSVC
from tests.cli.values import UUID, Json, flavor, guest
from tests.cloudinit.conftest import HERE, MAC, Boot

MOST_REQUESTS = 40
"""A guest's burst that a limit must let through."""

MOST_SECONDS = 5.0
"""On a quiet machine it takes a tenth of one."""

KEYS = [
    {"name": "ops", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE ops@example.org"},
    {"name": "ci", "public_key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB ci@example.org"},
]
NETWORK_DATA: Json = {
    "links": [{"id": "tap0", "type": "ovs", "ethernet_mac_address": MAC, "mtu": 1450}],
    "networks": [
        {
            "id": "net0",
            "type": "ipv4",
            "link": "tap0",
            "network_id": "n0",
            "ip_address": HERE.ip,
            "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"}],
        }
    ],
    "services": [{"type": "dns", "address": "10.0.0.2"}],
}
SHARED = flavor(2, 64, {"hw:cpu_policy": "shared"})


def multipart() -> bytes:
    """User data of two parts, compressed: not text."""
    parts = MIMEMultipart()
    parts.attach(MIMEText("#cloud-config\nruncmd: [echo, one]\n", "cloud-config", "utf-8"))
    parts.attach(MIMEText("#!/bin/sh\necho zwei ☃\n", "x-shellscript", "utf-8"))
    return gzip.compress(parts.as_bytes(), mtime=0)


# ---- what every cloud gives ----


async def test_it_takes_the_server_for_openstack_s(boot: Boot) -> None:
    booted = await boot()
    assert booted.learned["v1"]["cloud_name"] == "openstack"
    assert booted.learned["v1"]["subplatform"] == f"metadata (http://{METADATA_IPV4})"


async def test_a_guest_learns_who_it_is(boot: Boot) -> None:
    booted = await boot(
        guest(
            hostname="dpdk-0.example.org",
            key_pairs=KEYS,
            meta={"role": "dataplane", "città": "Zürich ☃"},
            availability_zone="az1",
            launch_index=3,
        )
    )
    assert booted.learned["hostname"] == "dpdk-0"
    assert booted.learned["instance_id"] == UUID
    assert booted.learned["public_ssh_keys"] == [key["public_key"] for key in KEYS]
    assert booted.learned["v1"]["availability_zone"] == "az1"
    assert booted.meta_data["hostname"] == "dpdk-0.example.org"
    assert booted.meta_data["meta"] == {"role": "dataplane", "città": "Zürich ☃"}
    assert booted.meta_data["launch_index"] == 3
    assert booted.meta_data["project_id"] == guest()["project_id"]
    assert len(base64.b64decode(booted.meta_data["random_seed"], validate=True)) == 512
    assert booted.ec2["local-ipv4"] == HERE.ip
    assert booted.ec2["public-keys"] == {key["name"]: key["public_key"] for key in KEYS}


async def test_names_with_dots_and_blanks_and_a_certificate_cost_a_guest_nothing(
    boot: Boot,
) -> None:
    pairs = [{**key, "name": name} for key, name in zip(KEYS, ("ops team", "a.b@c"), strict=True)]
    pem = {"name": "windows", "type": "x509", "public_key": "-----BEGIN CERTIFICATE-----\nMIIB\n"}
    booted = await boot(guest(name="db.1", key_pairs=[pem, *pairs]))
    assert booted.learned["hostname"] == "db-1"
    assert booted.learned["public_ssh_keys"] == [key["public_key"] for key in KEYS]
    assert booted.ec2["public-keys"] == {pair["name"]: pair["public_key"] for pair in pairs}


async def test_a_guest_of_which_little_is_said_boots_too(boot: Boot) -> None:
    """No user data, no keys, no files, no network data."""
    booted = await boot()
    assert booted.learned["user_data"] is None or booted.learned["user_data"] == ""
    assert booted.learned["public_ssh_keys"] == []
    assert booted.learned["files"] == {}
    assert booted.learned["vendor_data"] == {}
    assert booted.learned["hostname"] == "dpdk-0"
    assert "public-keys" not in booted.ec2


TEXTS = {
    "cloud-config": "#cloud-config\nruncmd: [echo, héllo ☃]\n",
    "script": "#!/bin/sh\necho\n",
    "no newline": "no newline",
    "blank": "\n\n",
    "as much as there may be": "é" * 32767,
}
BYTES = {
    "multipart, compressed": multipart(),
    "every byte": bytes(range(256)),
    "no UTF-8": b"\xff\xfe",
    "NUL": b"\r\n\r\n\0",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_user_data_comes_as_it_is(boot: Boot, text: str) -> None:
    assert (await boot(guest(user_data=text))).learned["user_data"] == text


@pytest.mark.parametrize("data", BYTES.values(), ids=BYTES)
async def test_user_data_that_is_not_text_comes_byte_for_byte(boot: Boot, data: bytes) -> None:
    form = guest(user_data={"base64": base64.b64encode(data).decode()})
    came = (await boot(form)).learned["user_data"]
    raw = came.encode() if isinstance(came, str) else base64.b64decode(came["base64"])
    assert raw == data


async def test_vendor_data_comes_both_ways(boot: Boot, tmp_path: Path) -> None:
    data = {"cloud-init": "#cloud-config\ntimezone: UTC\n", "ours": [1, {"ü": None}]}
    path = tmp_path / "vendor.json"
    path.write_text(json.dumps(data))
    booted = await boot(vendor_data=path)
    assert booted.learned["vendor_data"] == data
    assert booted.learned["vendor_data2"] == {"static": data}


async def test_files_come_with_their_content(boot: Boot) -> None:
    blob = base64.b64encode(bytes(range(256))).decode()
    files: list[Json] = [
        {"path": "/etc/motd", "content": "Welcome, é\n"},
        {"path": "/etc/blob", "content": {"base64": blob}},
        {"path": "/etc/empty", "content": ""},
    ]
    booted = await boot(guest(files=files))
    assert booted.learned["files"] == {file["path"]: file["content"] for file in files}


async def test_network_data_becomes_the_network_s_configuration(boot: Boot) -> None:
    booted = await boot(guest(network_data=NETWORK_DATA))
    assert booted.learned["network_data"] == NETWORK_DATA
    config = booted.learned["network_config"]
    assert config["version"] == 1
    [nic, dns] = config["config"]
    assert (nic["name"], nic["mac_address"], nic["mtu"]) == ("eth0", MAC, 1450)
    [subnet] = nic["subnets"]
    assert (subnet["type"], subnet["address"]) == ("static", HERE.ip)
    assert subnet["routes"][0]["gateway"] == "10.0.0.1"
    assert dns == {"type": "nameserver", "address": "10.0.0.2"}


async def test_tagged_devices_come_along(boot: Boot) -> None:
    devices = [
        {"type": "nic", "mac": MAC, "bus": "pci", "address": "0000:00:03.0", "tags": ["fabric"]},
        {"type": "disk", "bus": "scsi", "address": "0:0:0:1", "serial": "d1", "tags": ["db"]},
    ]
    found = (await boot(guest(devices=devices))).meta_data["devices"]
    assert [device["tags"] for device in found] == [["fabric"], ["db"]]


# ---- which vCPUs are dedicated ----


async def test_with_nova_s_list_the_ec2_leaves_tell_the_dedicated_vcpus(boot: Boot) -> None:
    """This release knows no version from 2020-10-14 on, and takes the newest that it knows."""
    booted = await boot(version_list="nova")
    assert booted.ec2["cpu"] == {"dedicated": "2-3,5-7", "shared": "0-1,4", "generation": "1"}
    assert "dedicated_cpus" not in booted.meta_data
    assert "/openstack/2018-08-27/meta_data.json" in booted.asked


FORMS: dict[str, str | list[int]] = {"cpuset": "2-3,5-7", "list": [2, 3, 5, 6, 7]}


@pytest.mark.parametrize("form", FORMS)
async def test_with_the_newest_alone_meta_data_tells_them_too(boot: Boot, form: str) -> None:
    booted = await boot(version_list="newest", dedicated_cpus_format=form)
    assert booted.meta_data["dedicated_cpus"] == FORMS[form]
    assert booted.ec2["cpu"]["dedicated"] == "2-3,5-7"
    assert "/openstack/latest/meta_data.json" in booted.asked


async def test_one_guest_can_have_the_newest_alone(boot: Boot) -> None:
    booted = await boot(guest(version_list="newest"), version_list="nova")
    assert booted.meta_data["dedicated_cpus"] == "2-3,5-7"


async def test_one_guest_can_have_nova_s_list(boot: Boot) -> None:
    booted = await boot(guest(version_list="nova"), version_list="newest")
    assert "dedicated_cpus" not in booted.meta_data


POLICIES: dict[str, tuple[Json, str, str]] = {
    "dedicated": (flavor(4, 64, {"hw:cpu_policy": "dedicated"}), "0-3", ""),
    "mixed by mask": (
        flavor(4, 64, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0-1"}), "2-3", "0-1",
    ),
    "mixed by realtime": (
        flavor(4, 64, {"hw:cpu_policy": "mixed", "hw:cpu_realtime": "yes",
                         "hw:cpu_realtime_mask": "^0"}), "1-3", "0",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("asked_for", "dedicated", "shared"), POLICIES.values(), ids=POLICIES)
async def test_each_policy_s_guest_learns_its_own(
    boot: Boot, asked_for: Json, dedicated: str, shared: str
) -> None:
    booted = await boot(guest(flavor=asked_for), version_list="newest")
    assert booted.meta_data["dedicated_cpus"] == dedicated
    cpu = booted.ec2["cpu"]
    assert (cpu["dedicated"], cpu.get("shared") or "") == (dedicated, shared)


@pytest.mark.parametrize("form", FORMS)
async def test_a_shared_guest_has_no_cpu_leaves_and_boots(boot: Boot, form: str) -> None:
    booted = await boot(
        guest(flavor=SHARED, user_data="#cloud-config\n"),
        version_list="newest",
        dedicated_cpus_format=form,
    )
    assert "cpu" not in booted.ec2
    assert booted.meta_data["dedicated_cpus"] == type(FORMS[form])()
    assert booted.learned["user_data"] == "#cloud-config\n"


# ---- how much it asks ----


async def test_a_boot_asks_little_and_is_quick(boot: Boot) -> None:
    """A guest that has everything. Nothing that it asks for is missing."""
    booted = await boot(
        guest(
            key_pairs=KEYS,
            user_data="x",
            files=[{"path": "/x", "content": "x"}],
            network_data=NETWORK_DATA,
        ),
        version_list="nova",
    )
    assert 10 < len(booted.asked) <= MOST_REQUESTS
    assert {status for _, status in booted.answers} == {200}
    assert booted.learned["elapsed_seconds"] < MOST_SECONDS


async def test_what_a_guest_does_not_have_is_404_and_no_more(boot: Boot) -> None:
    """Never a 5xx, on which clients try again and again; nor is a listing missing (5 s a boot)."""
    booted = await boot()
    missing = {path.rpartition("/")[2]: status for path, status in booted.answers if status != 200}
    assert missing == {"user_data": 404}
    assert booted.learned["elapsed_seconds"] < MOST_SECONDS


async def test_nobody_s_guest_finds_no_metadata_and_does_not_wait(
    network: tuple[str, str], packages: Path
) -> None:
    """A guest that the store does not know: 404, not a wait."""
    server, namespace = network
    settings = Settings(guest=(f"{METADATA_IPV4}:80",), operator="127.0.0.1:0", netns=(server,))
    async with asyncio.timeout(30), listeners(settings, MemoryStore()):
        with pytest.raises(MdsvcError, match="cloud-init found no OpenStack metadata"):
            await boot_cloud_init(namespace, packages)


async def test_the_doctor_asks_what_cloud_init_asks(
    network: tuple[str, str], packages: Path, answers: list[tuple[str, int]]
) -> None:
    """IPv6 and the first probe aside, which cloud-init tries by both families."""
    server, namespace = network
    store = MemoryStore()
    await add_host(store, sample.big_host())
    form = guest(
        key_pairs=KEYS,
        user_data="x",
        files=[{"path": "/x", "content": "x"}],
        addresses=[{"network": "net-a", "ip": HERE.ip, "mac": MAC}],
    )
    await create_instance(store, from_builtins(form, Instance), None)
    settings = Settings(guest=(f"{METADATA_IPV4}:80",), operator="127.0.0.1:0", netns=(server,))
    async with asyncio.timeout(60), listeners(settings, store):
        await boot_cloud_init(namespace, packages)
        booted = Counter(answers)
        answers.clear()
        command = ("doctor", f"http://{METADATA_IPV4}", "--client", "cloud-init-22.4", "--json")
        doctor = await asyncio.create_subprocess_exec(
            MDSVC, *command, stdout=asyncio.subprocess.PIPE, preexec_fn=partial(enter, namespace)
        )
        report = json.loads((await doctor.communicate())[0])[0]
    assert Counter(answers) == booted
    assert report["works"]
    assert report["requests"] == booted.total()
