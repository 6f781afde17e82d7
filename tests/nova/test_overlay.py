"""The overlay in front of a real Nova: every answer is Nova's, but for what is to be another."""

from __future__ import annotations

import base64
import json
import re
from bisect import insort
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

import pytest

from mdsvc.cpuset import CpuSet
from mdsvc.documents.overlay import path_of

from .programs import Cloud, Guest
from .serving import Answer, agents_headers, ask, serving

DEDICATED = "1-3"
NEWEST = b"2020-10-14\n2025-04-04\nlatest"
OPENSTACK = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06",
    "2017-02-22", "2018-08-27", "2020-10-14", "2025-04-04", "latest", "1999-01-01",
)  # fmt: skip
FILES = (
    "", "meta_data.json", "user_data", "vendor_data.json", "vendor_data2.json",
    "network_data.json", "password", "content", "content/0000", "nothing", "meta_data.json/more",
)  # fmt: skip
EC2 = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
    "2008-09-01", "2009-04-04", "latest", "1999-01-01",
)  # fmt: skip
ODD = (
    "/", "/openstack", "/openstack/", "/OPENSTACK", "/openstack/content/0000", "/favicon.ico",
    "//openstack//latest//meta_data.json", "/openstack//latest/meta_data.json",
    "/openstack/latest/../latest/./meta_data.json", "/latest/../openstack/latest/meta_data.json",
    "/openstack/latest/meta%5Fdata.json", "/openstack/latest/meta_data.json?a=%20&b",
    "/openstack/latest/meta_data.json/", "/openstack/latest/../2013-04-04/password",
    "/latest/api/token", "/latest/meta-data/public-keys", "/a%2fb", "/%zz", "/%C3%A9",
    "/openstack/latest/user%5Fdata", "/latest/meta-data//", "/latest/meta-data/../user-data",
)  # fmt: skip
TOKEN = ("/latest/api/token", "PUT")
"""Nova has no session tokens."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

Ask: TypeAlias = "partial[Answer]"


@pytest.fixture(scope="module")
def mixed(nova: Cloud) -> Iterator[Guest]:
    """A guest with one shared and three dedicated vCPUs."""
    guest = nova.boot(
        4,
        {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"},
        user_data=base64.b64encode(bytes(range(256))).decode(),
        metadata={"role": "dataplane ☃"},
    )
    yield guest
    nova.ask("delete", uuid=guest.uuid)


@pytest.fixture(scope="module")
def floating(nova: Cloud) -> Guest:
    """A guest that has no CPU to itself."""
    return nova.boot(1, {})


@pytest.fixture(scope="module")
def port(nova: Cloud) -> Iterator[int]:
    with serving("--upstream", f"http://127.0.0.1:{nova.port}") as port:
        yield port


class Pair(NamedTuple):
    """Nova alone, and the overlay in front of it; both asked for one guest."""

    nova: Ask
    overlay: Ask


@pytest.fixture(scope="module")
def pair(nova: Cloud, port: int, mixed: Guest) -> Pair:
    headers = agents_headers(mixed)
    return Pair(*(partial(_asked, each, headers) for each in (nova.port, port)))


def _asked(port: int, headers: Mapping[str, str], target: str, method: str = "GET") -> Answer:
    return ask(port, method, target, headers)


def crawled(nova: Ask, folder: str) -> Iterator[str]:
    """A folder of EC2's tree and all below it, as cloud-init goes through it."""
    yield folder
    listing = nova(folder)
    for name in listing.body.decode().split("\n") if listing.status == 200 else ():
        key, is_key, _ = name.partition("=")
        if is_key or name.endswith("/"):
            yield from crawled(nova, folder + key.rstrip("/") + "/")
        else:
            yield folder + name


def every_target(nova: Ask) -> Iterator[str]:
    yield from ODD
    for version in OPENSTACK:
        yield from (f"/openstack/{version}/{name}" for name in FILES)
    for version in EC2:
        yield from (f"/{version}", f"/{version}/user-data", f"/{version}/meta-data")
        yield from crawled(nova, f"/{version}/meta-data/")


# ---- what is to be another ----


def masked(answer: Answer) -> Answer:
    """Without the seed that is new in every reply."""
    body = re.sub(rb'("random_seed": )"[A-Za-z0-9+/=]*"', rb'\1"SEED"', answer.body)
    return answer._replace(body=body)


def as_set(answer: Answer) -> Answer:
    """The list of dedicated vCPUs as a CPU set, where it stands."""

    def written(found: re.Match[bytes]) -> bytes:
        return found[1] + json.dumps(str(CpuSet.of(json.loads(found[2])))).encode()

    return answer._replace(
        body=re.sub(rb'("dedicated_cpus": )(\[[0-9, ]*\])', written, answer.body)
    )


def with_folder(answer: Answer) -> Answer:
    names = answer.body.decode().split("\n")
    insort(names, "cpu/")
    return answer._replace(body="\n".join(names).encode())


def expected(target: str, nova: Answer) -> Answer:
    """What the overlay makes of Nova's answer."""
    path = path_of(target)
    if nova.status != 200:
        return nova
    if path[:1] == ("openstack",) and path[2:] == ("meta_data.json",):
        return masked(as_set(nova))
    return with_folder(nova) if path[1:] == ("meta-data",) else nova


# ---- a guest with dedicated vCPUs ----


def test_every_path_of_every_version_is_as_nova_says_it(pair: Pair) -> None:
    targets = list(every_target(pair.nova))
    assert len(targets) > 250
    for target in targets:
        nova, overlay = pair.nova(target), pair.overlay(target)
        if nova.status >= 500:
            assert overlay.status == 503, target  # a 5xx is an upstream that is away
        else:
            assert masked(overlay) == expected(target, nova), target


def test_nova_itself_fails_at_one_path_alone(pair: Pair) -> None:
    failing = {target for target in every_target(pair.nova) if pair.nova(target).status >= 500}
    assert failing == {f"/openstack/{version}/content" for version in OPENSTACK[:-1]}


def test_a_head_says_what_a_get_says(pair: Pair) -> None:
    """Nova's own gives its 404s another content type. What a password's is, is Nova's affair."""
    for target in every_target(pair.nova):
        nova, head = pair.nova(target, "HEAD"), pair.overlay(target, "HEAD")
        if path_of(target)[-1:] != ("password",):
            get = pair.overlay(target)
            assert (head.status, head.kind, head.body) == (get.status, get.kind, b""), target
        assert head.status == (503 if nova.status >= 500 else nova.status), target


@pytest.mark.parametrize("method", METHODS[2:])
def test_other_methods_are_nova_s_own_affair(pair: Pair, method: str) -> None:
    for target in (*ODD, "/latest/meta-data/", "/openstack/2018-08-27/meta_data.json"):
        if (target, method) == TOKEN:
            continue
        nova, overlay = pair.nova(target, method), pair.overlay(target, method)
        assert masked(overlay) == masked(nova), target


def test_the_dedicated_vcpus_are_where_nothing_was(pair: Pair) -> None:
    for version in EC2[:-1]:
        base = f"/{version}/meta-data/cpu"
        assert pair.nova(base).status == 404
        assert pair.overlay(base).body == b"dedicated"
        assert pair.overlay(f"{base}/dedicated").body.decode() == DEDICATED
    assert pair.overlay("/1999-01-01/meta-data/cpu/dedicated").status == 404
    layout = json.loads(pair.overlay("/mdsvc/v1/layout").body)
    assert layout["dedicated_cpus"] == DEDICATED


def test_they_are_those_that_nova_has_pinned(nova: Cloud, mixed: Guest) -> None:
    [cell] = nova.ask("topology", uuid=mixed.uuid)["nodes"]
    assert str(CpuSet.of(map(int, cell["cpu_pinning"]))) == DEDICATED


def test_by_policy_the_list_names_only_versions_that_tell_them(nova: Cloud, mixed: Guest) -> None:
    options = ("--upstream", f"http://127.0.0.1:{nova.port}", "--version-list", "newest")
    with serving(*options) as port:
        newest = ask(port, "GET", "/openstack", agents_headers(mixed))
        assert newest.body == NEWEST
        for version in OPENSTACK[:-1]:
            path = f"/openstack/{version}/meta_data.json"
            assert ask(port, "GET", path, agents_headers(mixed)).status == 200


def test_of_two_upstreams_one_may_be_away(nova: Cloud, mixed: Guest) -> None:
    away, there = "http://127.0.0.1:1", f"http://127.0.0.1:{nova.port}"
    with serving("--upstream", away, "--upstream", there) as port:
        assert ask(port, "GET", "/openstack", agents_headers(mixed)).status == 200


# ---- other guests, and none ----


def test_a_guest_without_dedicated_vcpus_gets_what_nova_says(
    nova: Cloud, port: int, floating: Guest
) -> None:
    headers = agents_headers(floating)
    for target in (
        "/latest/meta-data/",
        "/openstack/latest/meta_data.json",
        "/latest/meta-data/cpu",
    ):
        overlay, alone = (ask(each, "GET", target, headers) for each in (port, nova.port))
        assert masked(overlay) == masked(as_set(alone))
    assert ask(port, "GET", "/mdsvc/v1/dedicated_cpus", headers).body == b""


def test_whoever_is_not_signed_for_gets_nothing_and_nova_is_not_asked(
    nova: Cloud, port: int, mixed: Guest, floating: Guest
) -> None:
    good = agents_headers(mixed)
    signature = good["X-Instance-ID-Signature"]
    forged: list[Mapping[str, str]] = [
        {},
        {**good, "X-Instance-ID-Signature": "0" * 64},
        {**good, "X-Instance-ID-Signature": signature.upper()},
        {**good, "X-Instance-ID-Signature": f"{signature}, {signature}"},
        {**good, "X-Instance-ID": floating.uuid},
        {**good, "X-Instance-ID": mixed.uuid.upper()},
        {name: value for name, value in good.items() if name != "X-Tenant-ID"},
    ]
    before = nova.ask("asked")
    for headers in forged:
        for method in METHODS:
            for target in ("/", "/openstack", "/openstack/latest/password", "/mdsvc/v1/layout"):
                assert ask(port, method, target, headers).status in (400, 403)
    assert nova.ask("asked") == before


def test_a_project_that_is_not_the_guest_s_learns_nothing(
    nova: Cloud, port: int, mixed: Guest
) -> None:
    headers = agents_headers(mixed._replace(project="other"))
    for target in ("/openstack/latest/meta_data.json", "/mdsvc/v1/layout", "/latest/meta-data/"):
        assert ask(port, "GET", target, headers).status == 404
        assert ask(nova.port, "GET", target, headers).status == 404


def test_a_guest_that_nova_does_not_have_has_no_metadata(nova: Cloud, port: int) -> None:
    headers = agents_headers(Guest("00000000-0000-4000-8000-000000000001", "p"))
    for target in ("/openstack/latest/meta_data.json", "/mdsvc/v1/layout", "/latest/user-data"):
        overlay, alone = (ask(each, "GET", target, headers) for each in (port, nova.port))
        assert overlay == alone
        assert overlay.status == 404


# ---- what changes ----


def test_a_guest_that_waits_learns_what_has_changed_in_nova(nova: Cloud, floating: Guest) -> None:
    path, headers = "/openstack/latest/meta_data.json", agents_headers(floating)
    upstream = f"http://127.0.0.1:{nova.port}"
    with serving("--upstream", upstream, MDSVC_WAIT_SECONDS="25") as port:
        first = json.loads(
            ask(port, "GET", f"{path}?wait_for_change=true&timeout_sec=0", headers).body
        )
        assert first["name"] == "dpdk-0"
        nova.ask("rename", uuid=floating.uuid, name="renamed")
        query = f"?wait_for_change=true&timeout_sec=25&last_etag={first['etag']}"
        then = json.loads(ask(port, "GET", path + query, headers).body)
        assert then["name"] == "renamed"
        assert then["etag"] != first["etag"]


def test_a_deleted_guest_s_metadata_go(nova: Cloud) -> None:
    guest = nova.boot(1, {})
    headers = agents_headers(guest)
    with serving("--upstream", f"http://127.0.0.1:{nova.port}") as port:
        nova.ask("delete", uuid=guest.uuid)
        assert ask(port, "GET", "/openstack/latest/meta_data.json", headers).status == 404
