"""Neutron's own agent, behind haproxy as it sets it, in front of the overlay and of the server."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from time import sleep
from typing import Any

import pytest

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.demo import sample
from mdsvc.demo.guest import boot as boot_cloud_init
from mdsvc.demo.guest import cloud_init
from mdsvc.demo.network import METADATA_IPV4, enter, guest_network
from mdsvc.forms import from_builtins
from mdsvc.instance import Address, Instance
from mdsvc.store.opening import open_store
from tests.cli.values import Json, flavor, guest

from .conftest import SECRET
from .programs import Cloud, Guest, agent
from .serving import Answer, serving

TEXT = "#cloud-config\nruncmd: [echo, héllo ☃]\n"
USER_DATA = {
    "10.0.0.5": TEXT.encode(),
    "10.0.0.6": bytes(range(256)),
    "10.0.0.7": gzip.compress(TEXT.encode(), mtime=0),
}
"""By the address of the guest that has it."""

MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}
PASSES = {200, 400, 403, 404, 409, 503}
"""Of the statuses that the agent passes those that there should be."""

TARGETS = (
    "/", "/openstack", "/openstack/latest", "/openstack/latest/user_data", "/openstack/nothing",
    "/openstack/latest/network_data.json", "/openstack/latest/vendor_data2.json",
    "/openstack/2013-04-04/password", "/latest", "/latest/meta-data/", "/latest/user-data",
    "/latest/meta-data/public-keys/", "/2031-01-01/meta-data/", "/latest/api/token", "/%C3%A9",
    "/latest/meta-data/cpu/dedicated", "/mdsvc/v1/layout", "/mdsvc/v1/nothing", "/mdsvc/v1",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""But HEAD: the agent passes no answer without a body that is no 200, whoever gives it."""


class Machine:
    """A guest's end of the network; requests are sent from there."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, target: str, method: str = "GET", body: bytes | None = None) -> Answer:
        with ThreadPoolExecutor(1, initializer=partial(enter, self.namespace)) as pool:
            return pool.submit(self._ask, target, method, body).result(40)

    @staticmethod
    def _ask(target: str, method: str, body: bytes | None) -> Answer:
        """Sent at once: the agent reads a request but once, and what comes later is lost to it."""
        head = f"{method} {target} HTTP/1.1\r\nHost: {METADATA_IPV4}\r\nConnection: close\r\n"
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        with socket.create_connection((METADATA_IPV4, 80), timeout=30) as sock:
            sock.sendall(f"{head}{length}\r\n".encode() + (body or b""))
            response = http.client.HTTPResponse(sock, method=method)
            response.begin()
            kind = response.getheader("Content-Type")
            return Answer(response.status, kind, response.read())

    def boot(self) -> Json:
        """What Debian's cloud-init makes of it."""
        packages = cloud_init()
        assert packages
        return asyncio.run(boot_cloud_init(self.namespace, packages))


Machines = Mapping[str, Machine]


@contextmanager
def behind_an_agent(port: int, guests: Mapping[str, Guest]) -> Iterator[Machines]:
    """Machines by their addresses, whose agent asks at this port."""
    addresses = [Address("net-a", ip, f"fa:16:3e:00:00:0{ip[-1]}") for ip in guests]
    with (
        guest_network(f"mdsvc-agent{port}-{os.getpid()}", addresses) as (server, names),
        agent(port, SECRET, guests, server),
    ):
        yield dict(zip(guests, map(Machine, names), strict=True))


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as each:
        yield each


# ---- the overlay, in front of a real Nova ----


@pytest.fixture(scope="module")
def booted(nova: Cloud) -> Iterator[Mapping[str, Guest]]:
    """The first of them has dedicated vCPUs."""
    packed = {ip: base64.b64encode(data).decode() for ip, data in USER_DATA.items()}
    flavors: dict[str, Any] = {ip: (1, {}) for ip in USER_DATA} | {"10.0.0.5": (4, MIXED)}
    guests = {ip: nova.boot(*flavors[ip], user_data=packed[ip]) for ip in USER_DATA}
    yield guests
    for each in guests.values():
        nova.ask("delete", uuid=each.uuid)


@pytest.fixture(scope="module")
def alone(stack: ExitStack, nova: Cloud, booted: Mapping[str, Guest]) -> Machines:
    """As without the project."""
    return stack.enter_context(behind_an_agent(nova.port, booted))


Overlaid = Callable[..., Machines]


@pytest.fixture(scope="module")
def overlaid(stack: ExitStack, nova: Cloud, booted: Mapping[str, Guest]) -> Overlaid:
    def it(*options: str) -> Machines:
        port = stack.enter_context(serving("--upstream", f"http://127.0.0.1:{nova.port}", *options))
        return stack.enter_context(behind_an_agent(port, booted))

    return it


@pytest.fixture(scope="module")
def with_novas_list(overlaid: Overlaid) -> Machines:
    return overlaid()


def test_cloud_init_learns_the_dedicated_vcpus_that_nova_hides_from_it(
    alone: Machines, with_novas_list: Machines
) -> None:
    before, after = (each["10.0.0.5"].boot() for each in (alone, with_novas_list))
    assert "cpu" not in before["ds"]["ec2_metadata"]
    assert after["ds"]["ec2_metadata"].pop("cpu") == {"dedicated": "1-3"}
    for learned in (before, after):
        assert "dedicated_cpus" not in learned["ds"]["meta_data"]
        learned["ds"]["meta_data"].pop("random_seed")
    for name in ("meta_data", "ec2_metadata"):
        assert after["ds"][name] == before["ds"][name]
    for name in ("user_data", "vendor_data", "network_data", "hostname", "instance_id", "files"):
        assert after[name] == before[name], name
    assert after["user_data"] == TEXT


def test_with_the_newest_versions_alone_meta_data_tell_them(overlaid: Overlaid) -> None:
    learned = overlaid("--version-list", "newest")["10.0.0.5"].boot()
    assert learned["ds"]["meta_data"]["dedicated_cpus"] == "1-3"
    assert learned["ds"]["ec2_metadata"]["cpu"] == {"dedicated": "1-3"}


def outcome(answer: Answer) -> Answer:
    """Without what a 404 says: with the agent's own headers Nova says it in HTML."""
    return answer if answer.status == 200 else Answer(answer.status, None, b"")


@pytest.mark.parametrize("ip", USER_DATA)
def test_through_the_agent_all_comes_as_from_nova(
    alone: Machines, with_novas_list: Machines, ip: str
) -> None:
    """Also what does not: of an answer that it cannot decode haproxy makes a 502."""
    for target in TARGETS:
        if "cpu" in target or "mdsvc" in target or (ip == "10.0.0.5" and "meta-data/" in target):
            continue
        for method in ("GET", "HEAD"):
            nova, overlay = (outcome(each[ip](target, method)) for each in (alone, with_novas_list))
            assert overlay == nova, (target, method)


def test_a_password_is_posted_once_through_both(with_novas_list: Machines) -> None:
    """Nova itself knows of it once what it keeps of the guest is old."""
    machine, path = with_novas_list["10.0.0.6"], "/openstack/2013-04-04/password"
    secret = base64.b64encode(bytes(range(192)))
    assert machine(path, "POST", secret).status == 200
    while machine(path).body != secret:
        sleep(0.2)
    assert machine(path, "POST", secret).status == 409


def test_what_nova_answers_through_the_agent_the_overlay_answers_too(
    alone: Machines, with_novas_list: Machines
) -> None:
    for target in TARGETS:
        for method in METHODS[2:]:
            if (target, method) == ("/latest/api/token", "PUT"):
                continue  # Nova has no session tokens
            nova, overlay = (each["10.0.0.5"](target, method) for each in (alone, with_novas_list))
            assert overlay.status == nova.status, (target, method)


# ---- the project's own server ----


@pytest.fixture(scope="module")
def own(stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Machines:
    store = f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"
    guests = asyncio.run(filled(store))
    port = stack.enter_context(serving("--store", store))
    unknown = {"10.0.0.9": Guest("00000000-0000-4000-8000-000000000001", "p")}
    return stack.enter_context(behind_an_agent(port, {**guests, **unknown}))


async def filled(url: str) -> Mapping[str, Guest]:
    store, guests = await open_store(url), {}
    await add_host(store, sample.big_host())
    for number, (ip, data) in enumerate(USER_DATA.items(), 1):
        form = guest(
            f"00000000-0000-4000-8000-00000000010{number}",
            addresses=[{"network": "net-a", "ip": ip, "mac": f"fa:16:3e:00:00:0{ip[-1]}"}],
            user_data={"base64": base64.b64encode(data).decode()},
            flavor=guest()["flavor"] if number == 1 else flavor(1, 64, {}),
        )
        await create_instance(store, from_builtins(form, Instance), None)
        guests[ip] = Guest(form["uuid"], form["project_id"])
    await store.close()
    return guests


def test_cloud_init_learns_all_of_the_server_through_the_agent(own: Machines) -> None:
    learned = own["10.0.0.5"].boot()
    assert learned["ds"]["ec2_metadata"]["cpu"]["dedicated"] == "2-3,5-7"
    assert learned["user_data"] == TEXT


def test_user_data_of_every_kind_arrive(own: Machines) -> None:
    """The agent unpacks what is packed."""
    for path in ("/openstack/latest/user_data", "/latest/user-data"):
        assert own["10.0.0.5"](path).body == TEXT.encode()
        assert own["10.0.0.6"](path).body == bytes(range(256))
        assert own["10.0.0.7"](path).body == TEXT.encode()


def test_a_password_is_posted_once_and_read(own: Machines) -> None:
    machine, path = own["10.0.0.7"], "/openstack/latest/password"
    secret = base64.b64encode(bytes(range(192)))
    assert machine(path).body == b""
    assert machine(path, "POST", secret).status == 200
    assert machine(path).body == secret
    assert machine(path, "POST", b"other").status == 409
    assert machine(path).body == secret


def test_a_report_is_taken_through_the_agent(own: Machines) -> None:
    report = {"generation": 1, "state": "isolated", "dedicated_cpus": "2-3,5-7"}
    body = json.dumps(report).encode()
    assert own["10.0.0.5"]("/mdsvc/v1/status", "POST", body).status == 200
    assert own["10.0.0.5"]("/mdsvc/v1/status", "POST", b"{").status == 400


@pytest.mark.parametrize("ip", ["10.0.0.5", "10.0.0.9"])
def test_every_answer_of_the_server_has_a_status_that_the_agent_passes(
    own: Machines, ip: str
) -> None:
    for target in TARGETS:
        for method in METHODS:
            if not (method == "POST" and "password" in target):
                assert own[ip](target, method).status in PASSES, (target, method)
    for body in (b"x" * 5000, b"x" * 70_000):
        for path in ("/openstack/latest/password", "/mdsvc/v1/status", "/latest/meta-data/"):
            assert own[ip](path, "POST", body).status in PASSES


def test_a_guest_that_nobody_knows_has_no_metadata(own: Machines) -> None:
    assert own["10.0.0.9"]("/openstack").status == 404
