"""What real clients, unchanged, learn from the server: with session tokens off, optional, required.

cloud-init has `tests/cloudinit` of its own, and mdguest `tests/guest/sources`.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import pytest

from mdsvc.demo.guest import cloud_init
from tests.cli.values import UUID, Json, guest
from tests.clients.conftest import (
    CRAWL,
    EC2METADATA,
    HERE,
    IGNITION,
    MAC,
    NODE,
    PYTHON,
    TOKENS,
    Serve,
    replayed,
)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE ops@example.org"
CONFIG = json.dumps(
    {
        "ignition": {"version": "3.3.0"},
        "storage": {"files": [{"path": "/etc/x", "contents": {"source": "data:,hi"}}]},
    }
)
USER_DATA: dict[str, bytes] = {
    "text": "#cloud-config\n# héllo ☃\n".encode(),
    "every byte": bytes(range(256)),
    "compressed": gzip.compress(b"#!/bin/sh\necho\n", mtime=0),
}
NETWORK_DATA: Json = {
    "links": [{"id": "tap0", "type": "ovs", "ethernet_mac_address": MAC, "mtu": 1450}],
    "networks": [
        {
            "id": "net0", "type": "ipv4", "link": "tap0", "network_id": "n0",
            "ip_address": HERE.ip, "netmask": "255.255.255.0", "routes": [],
        }
    ],
    "services": [],
}  # fmt: skip


def form(user_data: bytes | None = None, **more: object) -> Json:
    data = None if user_data is None else {"base64": base64.b64encode(user_data).decode()}
    pairs = [{"name": "ops", "public_key": KEY}]
    return guest(
        flavor={**guest()["flavor"], "name": "m"},
        hostname="dpdk-0.example.org",
        key_pairs=pairs,
        user_data=data,
        availability_zone="az1",
        security_groups=["default", "web"],
        network_data=NETWORK_DATA,
        **more,
    )


each_mode = pytest.mark.parametrize("tokens", TOKENS)
with_tokens = pytest.mark.parametrize("tokens", TOKENS[1:])
without_tokens = pytest.mark.parametrize("tokens", TOKENS[:2])


# ---- those that ask for a token first ----


@with_tokens
@pytest.mark.parametrize("data", USER_DATA.values(), ids=USER_DATA)
async def test_ec2_metadata_learns_who_the_guest_is(serve: Serve, tokens: str, data: bytes) -> None:
    played = await (await serve(form(data), tokens=tokens)).play(*PYTHON, "ec2-metadata")
    learned = played.json
    assert base64.b64decode(learned.pop("user_data")) == data
    assert learned == {
        "instance_id": learned["instance_id"],
        "instance_type": "m",
        "availability_zone": "az1",
        "private_hostname": "dpdk-0.example.org",
        "private_ipv4": HERE.ip,
        "security_groups": ["default", "web"],
        "spot_instance_action": None,
    }
    assert learned["instance_id"].startswith("i-")
    assert played.requests[0][:2] == ("PUT", "/latest/api/token")


@each_mode
async def test_boto3_learns_its_zone_and_that_there_are_no_credentials(
    serve: Serve, tokens: str
) -> None:
    played = await (await serve(form(), tokens=tokens)).play(*PYTHON, "boto3")
    learned = played.json
    assert learned["instance_id"].startswith("i-")
    assert (learned["credentials"], learned["region"]) == (None, "az")
    assert learned["has_token"] is (tokens != "off")


@each_mode
async def test_the_sdk_for_node_reads_leaves_and_takes_a_404_for_absent(
    serve: Serve, tokens: str
) -> None:
    paths = ("/latest/meta-data/local-ipv4", "/latest/user-data", "/latest/meta-data/cpu/dedicated")
    server = await serve(form(b"#!/bin/sh\n"), tokens=tokens)
    played = await server.play(*NODE, *paths, "/latest/meta-data/none")
    assert played.json == {
        paths[0]: HERE.ip,
        paths[1]: "#!/bin/sh\n",
        paths[2]: "2-3,5-7",
        "/latest/meta-data/none": {"status": None},
    }


@with_tokens
@pytest.mark.parametrize("data", USER_DATA.values(), ids=USER_DATA)
async def test_debian_s_ec2metadata_prints_leaves_and_user_data(
    serve: Serve, tokens: str, data: bytes
) -> None:
    server = await serve(form(data), tokens=tokens)
    played = await server.play(*EC2METADATA, "--local-ipv4")
    assert (played.code, played.out.decode().strip()) == (0, HERE.ip)
    played = await server.play(*EC2METADATA, "--public-keys")
    assert KEY in played.out.decode()
    played = await server.play(*EC2METADATA, "--user-data")
    assert played.code == 0
    assert data in played.out


async def test_without_tokens_debian_s_ec2metadata_dies_of_the_404(serve: Serve) -> None:
    """As on Nova: it asks for a token, and takes no answer but one."""
    played = await (await serve(form(), tokens="off")).play(*EC2METADATA, "--local-ipv4")
    assert played.code != 0
    assert played.requests == [("PUT", "/latest/api/token", 404)]


# ---- those that know no tokens ----


def ignition(folder: Path, platform: str = "openstack") -> list[str]:
    return [
        *(IGNITION, "-stage", "fetch", "-platform", platform, "-log-to-stdout"),
        *("-config-cache", str(folder / "config.json"), "-state-file", str(folder / "state")),
        *("-neednet", str(folder / "neednet"), "-root", str(folder), "-fetch-timeout", "10s"),
    ]


@without_tokens
async def test_ignition_takes_its_configuration_from_user_data(
    serve: Serve, tokens: str, tmp_path: Path
) -> None:
    server = await serve(form(CONFIG.encode()), tokens=tokens)
    played = await server.play(*ignition(tmp_path))
    assert played.code == 0, played.out
    [file] = json.loads((tmp_path / "config.json").read_text())["storage"]["files"]
    assert (file["path"], file["contents"]["source"]) == ("/etc/x", "data:,hi")
    assert played.requests == [("GET", "/openstack/latest/user_data", 200)]


@without_tokens
async def test_user_data_of_another_kind_stop_ignition_as_the_doctor_notes(
    serve: Serve, tokens: str, tmp_path: Path
) -> None:
    server = await serve(form(b"#cloud-config\n"), tokens=tokens)
    played = await server.play(*ignition(tmp_path))
    assert (played.code, b"config is not valid" in played.out) == (1, True)
    [note] = (await replayed(server, "ignition")).json[0]["notes"]
    assert "no Ignition configuration" in note


@without_tokens
async def test_without_user_data_ignition_goes_on_without_a_configuration(
    serve: Serve, tokens: str, tmp_path: Path
) -> None:
    played = await (await serve(form(), tokens=tokens)).play(*ignition(tmp_path))
    assert played.code == 0, played.out
    assert json.loads((tmp_path / "config.json").read_text())["storage"] == {}
    assert played.requests == [("GET", "/openstack/latest/user_data", 404)]


@without_tokens
@pytest.mark.parametrize("data", USER_DATA.values(), ids=USER_DATA)
async def test_cloudbase_init_learns_all_and_leaves_its_password_once(
    serve: Serve, tokens: str, data: bytes
) -> None:
    played = await (await serve(form(data), tokens=tokens)).play(*PYTHON, "cloudbase-init")
    learned = played.json
    assert base64.b64decode(learned.pop("user_data")) == data
    assert learned == {
        "loaded": True,
        "instance_id": UUID,
        "host_name": "dpdk-0.example.org",
        "public_keys": [KEY],
        "addresses": [f"{HERE.ip}/24"],
        "can_post_password": True,
        "password_before": False,
        "posted": True,
        "posted_again": 409,
        "password_after": True,
    }


@without_tokens
async def test_cloudbase_init_takes_absent_user_data_for_absent(serve: Serve, tokens: str) -> None:
    played = await (await serve(form(), tokens=tokens)).play(*PYTHON, "cloudbase-init")
    assert played.json["user_data"] == "NotExistingMetadataException"
    asked = [request for request in played.requests if request.path.endswith("/user_data")]
    assert [request.status for request in asked] == [404]


@pytest.mark.parametrize("tokens", [mode for mode in TOKENS if mode == "required"])
async def test_where_tokens_are_required_those_without_learn_nothing_and_do_no_harm(
    serve: Serve, tokens: str, tmp_path: Path
) -> None:
    """Ignition waits for a config drive then, for ever."""
    server = await serve(form(CONFIG.encode()), tokens=tokens)
    played = await server.play(*PYTHON, "cloudbase-init")
    assert played.json == {"loaded": False}
    assert {request.status for request in played.requests} == {401}
    played = await server.play(*CRAWL, PYTHONPATH=str(cloud_init()), TMPDIR=str(tmp_path))
    assert (played.code, "found no OpenStack metadata" in played.err) == (1, True)
