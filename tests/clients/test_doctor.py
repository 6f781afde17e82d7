"""What `mdsvc doctor` replays is what the real clients ask, request by request."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mdsvc.demo.guest import cloud_init
from tests.clients.conftest import CRAWL, PYTHON, URL, Request, Serve, Server, replayed
from tests.clients.test_clients import CONFIG, form, ignition

MDGUEST = str(Path(sys.executable).with_name("mdguest"))
FILES = [{"path": "/etc/motd", "content": "hi\n"}]


async def server_of(serve: Serve, **settings: Any) -> Server:
    return await serve(form(CONFIG.encode(), files=FILES, meta={"a": "b"}), **settings)


@pytest.mark.parametrize("policy", ["nova", "newest"])
async def test_cloud_init_s_boot_in_its_order(serve: Serve, policy: str, tmp_path: Path) -> None:
    server = await server_of(serve, version_list=policy)
    packages = str(cloud_init())
    real = await server.play(*CRAWL, PYTHONPATH=packages, TMPDIR=str(tmp_path))
    release = real.json["cloud_init"]
    doctored = await replayed(server, "cloud-init-22.4" if release < "25" else "cloud-init-25")
    assert doctored.requests == real.requests
    learned = real.json["ds"]["ec2_metadata"]["cpu"]["dedicated"]
    assert doctored.json[0]["dedicated_cpus"] == learned


async def test_ignition_s(serve: Serve, tmp_path: Path) -> None:
    server = await server_of(serve)
    real = await server.play(*ignition(tmp_path))
    assert (await replayed(server, "ignition")).requests == real.requests


async def test_cloudbase_init_s_but_for_what_it_leaves(serve: Serve) -> None:
    """In which order its plugins ask is theirs; to it a 404 is absent. The doctor posts nothing."""
    server = await server_of(serve)
    doctored = {*(await replayed(server, "cloudbase-init")).requests}
    real = {*(await server.play(*PYTHON, "cloudbase-init")).requests}
    asked = {request for request in real if request.method == "GET"}
    older = Request("GET", "/openstack/2013-04-04/meta_data.json", 200)  # may a password be left?
    file = Request("GET", "/openstack/content/0000", 200)
    assert asked - {older} == doctored - {file, older}


async def test_the_aws_sdk_s(serve: Serve) -> None:
    """As what asks for credentials and for a region does; each opens a session of its own."""
    server = await server_of(serve)
    doctored = (await replayed(server, "awscli")).requests
    real = (await server.play(*PYTHON, "boto3")).requests
    leaf = Request("GET", "/latest/meta-data/instance-id", 200)  # asked by the test alone
    assert {*doctored} == {*real} - {leaf}


@pytest.mark.parametrize("tokens", ["off", "optional", "required"])
async def test_mdguest_s(serve: Serve, tokens: str) -> None:
    server = await server_of(serve, tokens=tokens)
    real = await server.play(MDGUEST, "plan", "--source", f"metadata:{URL}", "--json")
    doctored = await replayed(server, "mdguest")
    documents = [request for request in real.requests if request.method in ("GET", "PUT")]
    assert doctored.requests == documents, real.err
    assert documents[-1].status == 200
