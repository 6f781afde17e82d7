"""`mdsvc audit --cloud`: a cloud's guests by Nova's topology API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # has no types of its own

from tests.audit.cloud import FakeCloud, node, running
from tests.cli.command import Mdsvc
from tests.strategies import grid

DEDICATED = {"hw:cpu_policy": "dedicated"}
MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"}
HOST = grid(2, 4, threads=2, shared=1)

PASSWORD = {"username": "admin", "password": "right", "project_name": "admin"}
CREDENTIAL = {"application_credential_id": "i", "application_credential_secret": "right"}


@pytest.fixture
def cloud() -> Iterator[FakeCloud]:
    with running() as fake:
        yield fake


@pytest.fixture
def clouds_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "clouds.yaml"
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    return file


def entry(cloud: FakeCloud, auth: dict[str, str], **more: Any) -> str:
    text = yaml.safe_dump({"clouds": {"c": {"auth": {"auth_url": cloud.url, **auth}, **more}}})
    return str(text)


def host_file(tmp_path: Path, *names: str) -> str:
    file = tmp_path / "hosts.json"
    file.write_text(json.dumps([HOST | {"name": name} for name in names]))
    return str(file)


@pytest.mark.parametrize("auth", [PASSWORD, CREDENTIAL], ids=["password", "credential"])
def test_a_fault_is_found_on_its_host(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path, tmp_path: Path, auth: dict[str, str]
) -> None:
    clouds_yaml.write_text(entry(cloud, auth, region_name="r1"))
    cloud.add(1, "a", "h1", DEDICATED, node(0, [0, 1], {0: 2, 1: 3}))
    cloud.add(2, "b", "h2", MIXED, node(0, [0, 1], {1: 3}))
    cloud.add(3, "c", "h2", DEDICATED, node(0, [0], {0: 3}))
    cloud.add(4, "d", "h2", {})
    cloud.add(5, "e", "h1", DEDICATED, node(1, [0], {}))
    done = mdsvc("audit", "--cloud", "c", "--host", host_file(tmp_path, "h1", "h2"), "--json")
    findings = [(f["code"], f["host"], f["guests"], f["cpus"]) for f in done.json["findings"]]
    assert done.code == 3
    assert findings == [
        ("pinned_twice", "h2", ["b", "c"], "3"),
        ("dedicated_unpinned", "h1", ["e"], ""),
    ]
    assert "5 guests on 2 hosts looked at" in done.err


def test_a_guest_that_goes_while_it_is_looked_at_is_no_fault(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path
) -> None:
    clouds_yaml.write_text(entry(cloud, PASSWORD))
    cloud.add(1, "a", "h1", DEDICATED, node(0, [0], {0: 2}))
    cloud.add(2, "b", "h1", DEDICATED, node(0, [0], {0: 2}))
    cloud.gone.add("00000000-0000-4000-8000-000000000002")
    done = mdsvc("audit", "--cloud", "c")
    assert (done.code, "1 guest on 1 host looked at" in done.err) == (0, True)


def test_a_token_that_ends_meanwhile_is_renewed(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path
) -> None:
    clouds_yaml.write_text(entry(cloud, PASSWORD))
    for number in range(1, 12):
        cloud.add(number, f"g{number}", "h1", DEDICATED, node(0, [0], {0: number}))
    cloud.good = 9
    done = mdsvc("audit", "--cloud", "c")
    assert (done.code, "11 guests on 1 host looked at" in done.err) == (0, True)


def test_a_healthy_cloud_is_silence_and_memory_and_sets_count(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path, tmp_path: Path
) -> None:
    clouds_yaml.write_text(entry(cloud, PASSWORD))
    cloud.add(1, "a", "h1", DEDICATED, node(0, [0], {0: 2}), node(1, [1], {1: 12}))
    cloud.add(2, "by-image", "h1", {}, node(0, [0, 1], {0: 4, 1: 5}))
    hosts = host_file(tmp_path, "h1")
    assert mdsvc("audit", "--cloud", "c", "--host", hosts).code == 0
    assert mdsvc("audit", "--cloud", "c").code == 0
    cloud.add(3, "far", "h1", DEDICATED, node(0, [0], {0: 13}, memory_mb=99999))
    done = mdsvc("audit", "--cloud", "c", "--host", hosts, "--json")
    assert [f["code"] for f in done.json["findings"]] == ["memory_overbooked", "memory_elsewhere"]


def test_secrets_may_be_in_a_file_of_their_own(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path
) -> None:
    without = {key: value for key, value in PASSWORD.items() if key != "password"}
    clouds_yaml.write_text(entry(cloud, without))
    assert "c.auth.password: expected text" in mdsvc("audit", "--cloud", "c").err
    secure = {"clouds": {"c": {"auth": {"password": "right"}}}}
    clouds_yaml.with_name("secure.yaml").write_text(yaml.safe_dump(secure))
    assert mdsvc("audit", "--cloud", "c").code == 0
    assert cloud.seen[0]["scope"] == {"project": {"name": "admin", "domain": {"id": "default"}}}


def test_a_wrong_password_is_said_and_shown_nowhere(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path
) -> None:
    clouds_yaml.write_text(entry(cloud, PASSWORD | {"password": "wr0ng"}))
    done = mdsvc("audit", "--cloud", "c")
    assert (done.code, done.out) == (1, "")
    assert "/v3/auth/tokens: 401" in done.err
    assert "wr0ng" not in done.err


def test_who_is_no_administrator_is_told_so(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path
) -> None:
    """Silence would look like a healthy cloud."""
    clouds_yaml.write_text(entry(cloud, PASSWORD))
    cloud.add(1, "a", "h1", DEDICATED, node(0, [0], {0: 2}))
    cloud.admin = False
    done = mdsvc("audit", "--cloud", "c")
    assert (done.code, "administrator" in done.err) == (1, True)


def test_a_host_without_guests_has_sets_all_the_same(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path, tmp_path: Path
) -> None:
    clouds_yaml.write_text(entry(cloud, PASSWORD))
    file = tmp_path / "hosts.json"
    file.write_text(json.dumps([HOST, HOST | {"name": "h2", "cpu_shared_set": "0-2"}]))
    done = mdsvc("audit", "--cloud", "c", "--host", str(file), "--json")
    assert [(f["code"], f["host"]) for f in done.json["findings"]] == [("sets_overlap", "h2")]


def test_guests_that_are_on_no_host_are_none_and_no_want_of_rights(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path
) -> None:
    """Such as could not be placed, or are shelved."""
    clouds_yaml.write_text(entry(cloud, PASSWORD))
    cloud.add(1, "a", "h1", DEDICATED, node(0, [0], {0: 2}))
    cloud.servers["00000000-0000-4000-8000-000000000001"][0]["OS-EXT-SRV-ATTR:host"] = None
    done = mdsvc("audit", "--cloud", "c")
    assert (done.code, done.err) == (0, "mdsvc: nothing found: 0 guests on 0 hosts looked at\n")


def test_a_certificate_that_cannot_be_read_is_named(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path, tmp_path: Path
) -> None:
    for file, says in ((tmp_path / "none", "No such file"), (clouds_yaml, "certificate")):
        clouds_yaml.write_text(entry(cloud, PASSWORD, cacert=str(file)))
        done = mdsvc("audit", "--cloud", "c")
        assert (done.code, done.out) == (2, "")
        assert f"cacert: {file}: " in done.err
        assert says in done.err


def test_a_topology_that_cannot_be_read_is_named(
    mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path
) -> None:
    clouds_yaml.write_text(entry(cloud, PASSWORD))
    cloud.add(1, "a", "h1", DEDICATED, {"vcpu_set": [0]})
    done = mdsvc("audit", "--cloud", "c")
    assert done.code == 1
    assert "00000000-0000-4000-8000-000000000001: its topology cannot be read" in done.err


def test_a_cloud_that_is_not_there(mdsvc: Mdsvc, cloud: FakeCloud, clouds_yaml: Path) -> None:
    clouds_yaml.write_text(entry(cloud, PASSWORD, region_name="r9"))
    assert "its catalog has no compute" in mdsvc("audit", "--cloud", "c").err
    cloud.url = "http://127.0.0.1:1"
    clouds_yaml.write_text(entry(cloud, PASSWORD))
    done = mdsvc("audit", "--cloud", "c")
    assert (done.code, "Cannot connect" in done.err) == (1, True)


FULL = "auth: {auth_url: 'http://k', username: u, password: p, project_name: s}"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("clouds: {other: {}}", 4, "no cloud c; there are: other"),
        ("clouds: [1]", 2, "clouds: expected a mapping"),
        ("{", 2, "expected YAML"),
        ("clouds: {c: 3}", 2, "c: expected a mapping"),
        ("clouds: {c: {auth: {}}}", 2, "c.auth.auth_url: expected text"),
        ("[]", 4, "no cloud c; there are: none"),
        ("clouds: {c: {auth: {auth_url: 'http://x', username: u}}}", 2, "password: expected text"),
        ("clouds: {c: {auth: {auth_url: 'keystone:5000/v3'}}}", 2, "auth_url: expected http://"),
        ("clouds: {c: {auth: {auth_url: 'http://k:99999/v3'}}}", 2, "auth_url: expected http://"),
        ("clouds: {c: {auth_type: v3token}}", 2, "c.auth_type: expected one of password, "),
        (
            f"clouds: {{c: {{{FULL}, compute_endpoint_override: nova}}}}",
            2,
            "override: expected htt",
        ),
        ("a: !!python/object/apply:os.system ['true']", 2, "expected YAML"),
    ],
)
def test_what_is_wrong_in_clouds_yaml_is_named(
    mdsvc: Mdsvc, clouds_yaml: Path, text: str, code: int, says: str
) -> None:
    clouds_yaml.write_text(text)
    done = mdsvc("audit", "--cloud", "c")
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert str(clouds_yaml) in done.err


def test_without_clouds_yaml_the_places_are_named(mdsvc: Mdsvc, clouds_yaml: Path) -> None:
    done = mdsvc("audit", "--cloud", "c")
    assert (done.code, str(clouds_yaml) in done.err) == (4, True)
