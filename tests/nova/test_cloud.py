"""`mdsvc audit --cloud` and the target of Nova's vendor data with a real Keystone, and the real API
of a whole Nova behind its own keystonemiddleware and policy.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # has no types of its own

from tests.cli.command import MDSVC, Done, environment, process
from tests.target.real_keystone import Keystone, running

from .programs import Cloud, Guest
from .serving import agents_headers, ask

DOMAINS = {"user_domain_name": "Default", "project_domain_name": "Default"}
PASSWORD = {"username": "admin", "password": "right", "project_name": "service", **DOMAINS}
HOST = {
    "name": "compute1",
    "cpu_shared_set": "0-1,4",
    "cpu_dedicated_set": "2-3,5-7",
    "cells": [{"id": at, "memory_mb": 8192, "cpus": f"{4 * at}-{4 * at + 3}"} for at in (0, 1)],
}
"""The host of `cloud.py`."""


@pytest.fixture(scope="module")
def keystone(nova: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """A Keystone whose catalog has Nova's API, which asks it for whose a token is."""
    compute = f"http://127.0.0.1:{nova.api}/v2.1"
    with running(tmp_path_factory.mktemp("keystone"), compute) as keystone:
        nova.ask("keystone", url=keystone.url)
        yield keystone
        nova.ask("keystone", url=None)


@pytest.fixture(scope="module")
def mixed(nova: Cloud) -> Iterator[Guest]:
    """A guest with one shared and three dedicated vCPUs, and one that floats beside it."""
    guests = [
        nova.boot(4, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}),
        nova.boot(1, {}, name="plain"),
    ]
    yield guests[0]
    for guest in guests:
        nova.ask("delete", uuid=guest.uuid)


class Auditor:
    """Writes clouds.yaml and runs the audit with it."""

    def __init__(self, folder: Path, url: str) -> None:
        self._file = folder / "clouds.yaml"
        self._auth_url = f"{url}/v3"
        self._host = folder / "host.json"
        self._host.write_text(json.dumps(HOST))

    def audit(self, auth: Mapping[str, str], *args: str, **more: str) -> Done:
        entry = {"auth": {"auth_url": self._auth_url, **auth}, **more}
        self._file.write_text(yaml.safe_dump({"clouds": {"c": entry}}))
        return process(
            *("audit", "--cloud", "c", "--host", str(self._host), *args),
            OS_CLIENT_CONFIG_FILE=str(self._file),
        )


@pytest.fixture
def auditor(keystone: Keystone, mixed: Guest, tmp_path: Path) -> Auditor:
    assert mixed
    return Auditor(tmp_path, keystone.url)


def post(url: str, body: object, token: str = "") -> tuple[str, Any]:
    """The token that Keystone gives, and what it says."""
    headers = {"Content-Type": "application/json", "X-Auth-Token": token}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers.get("X-Subject-Token", ""), json.loads(answer.read())


def credential(url: str) -> Mapping[str, str]:
    """An application credential of the administrator's."""
    default = {"name": "Default"}
    user = {"name": "admin", "password": "right", "domain": default}
    identity = {"methods": ["password"], "password": {"user": user}}
    auth = {"identity": identity, "scope": {"project": {"name": "service", "domain": default}}}
    token, told = post(f"{url}/v3/auth/tokens", {"auth": auth})
    path = f"{url}/v3/users/{told['token']['user']['id']}/application_credentials"
    wanted = {"name": "audit", "roles": [{"name": "admin"}]}
    _, made = post(path, {"application_credential": wanted}, token)
    return {
        "application_credential_id": made["application_credential"]["id"],
        "application_credential_secret": made["application_credential"]["secret"],
    }


def test_a_well_placed_cloud_is_silence_by_password_and_by_credential(
    auditor: Auditor, keystone: Keystone
) -> None:
    ways: list[tuple[Mapping[str, str], dict[str, str]]] = [
        (PASSWORD, {"region_name": "r1"}),
        (credential(keystone.url), {"auth_type": "v3applicationcredential"}),
    ]
    for auth, more in ways:
        done = auditor.audit(auth, **more)
        assert (done.code, done.out) == (0, "")
        assert done.err == "mdsvc: nothing found: 2 guests on 1 host looked at\n"


def test_a_guest_whose_pins_the_host_s_settings_have_no_more_is_found(
    auditor: Auditor, nova: Cloud, mixed: Guest, tmp_path: Path
) -> None:
    """As when an operator has changed nova.conf under it: Nova itself says nothing then."""
    (node,) = nova.ask("topology", uuid=mixed.uuid)["nodes"]
    pcpu = node["cpu_pinning"]["1"]
    conf = tmp_path / "nova.conf"
    conf.write_text(f"[compute]\ncpu_shared_set = 0-1,4\ncpu_dedicated_set = 2-7,^4,^{pcpu}\n")
    done = auditor.audit(PASSWORD, "--nova-conf", str(conf), "--json")
    assert [(f["code"], f["host"], f["guests"], f["cpus"]) for f in done.json["findings"]] == [
        ("outside_sets", "compute1", ["dpdk-0"], str(pcpu))
    ]
    assert done.code == 3


REFUSED = {
    "a wrong password": (PASSWORD | {"password": "wr0ng"}, {}, "/v3/auth/tokens: 401 "),
    "an unknown user": (PASSWORD | {"username": "nobody"}, {}, "expected a user, password and"),
    "a project that is not there": (PASSWORD | {"project_name": "none"}, {}, "401 "),
    "a wrong secret": (
        {"application_credential_id": "i", "application_credential_secret": "wr0ng"},
        {},
        "application credential, that it knows",
    ),
    "no administrator": (
        PASSWORD | {"username": "plain"},
        {},
        "expected an administrator's credentials: GET ",
    ),
    "another region": (PASSWORD, {"region_name": "r9"}, "it has: public in r1"),
    "another interface": (PASSWORD, {"interface": "internal"}, "(interface internal, region any)"),
    "a Nova that is down": (
        PASSWORD,
        {"compute_endpoint_override": "http://127.0.0.1:9/v2.1"},
        "http://127.0.0.1:9/v2.1/servers/detail: Cannot connect",
    ),
    "a Keystone that is down": (
        PASSWORD | {"auth_url": "http://127.0.0.1:9/v3"},
        {},
        "http://127.0.0.1:9/v3/auth/tokens: Cannot connect",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_one_line_and_no_secret_in_it(auditor: Auditor, name: str) -> None:
    auth, more, says = REFUSED[name]
    done = auditor.audit(auth, **more)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert says in done.err
    assert not {"wr0ng", "right"} & set(done.err.split())


# ---- vendor data, all of whose parts are real ----

VENDOR = "/openstack/latest/vendor_data2.json"


@pytest.fixture
def target(nova: Cloud, keystone: Keystone, tmp_path: Path) -> Iterator[str]:
    """The address of `mdsvc serve --vendordata`, which Nova asks."""
    file = tmp_path / "clouds.yaml"
    auth = {"auth_url": keystone.url, **PASSWORD}
    file.write_text(yaml.safe_dump({"clouds": {"c": {"auth": auth}}}))
    command = ("serve", "--vendordata", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--cloud", "c")
    with subprocess.Popen(
        [MDSVC, *command],
        env=environment(OS_CLIENT_CONFIG_FILE=str(file)),
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as serving:
        try:
            assert serving.stderr
            url = serving.stderr.readline().split()[3]
            targets = {"mdsvc": "layout", "cloud-init": "cloud-init"}
            asked = [f"{name}@{url}/vendordata/{path}" for name, path in targets.items()]
            nova.ask("vendordata", targets=asked)
            yield url
        finally:
            nova.ask("vendordata", targets=[])
            serving.terminate()


def test_novas_vendor_data_have_what_novas_own_api_says_of_its_guest(
    nova: Cloud, mixed: Guest, target: str
) -> None:
    """Nova with a token of Keystone's asks us, and we with one of ours Keystone and Nova's API."""
    assert target
    told: Any = {"mdsvc": {}, "cloud-init": {}}
    deadline = time.monotonic() + 120  # on a busy machine they may take longer than Nova waits
    while not (told["mdsvc"] and told["cloud-init"]) and time.monotonic() < deadline:
        told = json.loads(ask(nova.port, "GET", VENDOR, agents_headers(mixed)).body)
    assert (told["mdsvc"]["dedicated_cpus"], told["mdsvc"]["shared_cpus"]) == ("1-3", "0")
    assert told["cloud-init"].startswith("#cloud-config\n")
