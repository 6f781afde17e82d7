"""Paths: slashes are tolerated anywhere, percent-encoding means what it says, no more than that."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.http.conftest import Serve

TEXT = "text/plain; charset=UTF-8"

PATHS = (
    "/",
    "/openstack",
    "/openstack/latest",
    "/openstack/2012-08-10/user_data",
    "/openstack/latest/vendor_data.json",
    "/openstack/latest/password",
    "/openstack/content/0001",
    "/1.0",
    "/latest/user-data",
    "/latest/meta-data",
    "/latest/meta-data/hostname",
    "/latest/meta-data/public-keys/0/openssh-key",
    "/latest/meta-data/cpu",
    "/mdsvc",
    "/mdsvc/v1/layout",
)


@pytest.mark.parametrize("path", PATHS)
async def test_doubled_and_trailing_slashes_change_nothing(serve: Serve, path: str) -> None:
    ask = await serve()
    plain = await ask(path)
    assert plain.status == 200
    for times in (2, 3):
        slashes = "/" * times
        spellings = [f"{path}{slashes[1:]}", f"{slashes[1:]}{path}", path.replace("/", slashes)]
        for spelling in [*spellings, path.replace("/", slashes) + slashes]:
            reply = await ask(spelling)
            assert (reply.status, reply.type, reply.body) == (200, plain.type, plain.body), spelling


class Same(NamedTuple):
    claim: str
    target: str
    path: str


SAME = (
    Same("a query string is no part of the path", "/openstack?a=/b", "/openstack"),
    Same("an empty query string", "/openstack/?", "/openstack"),
    Same("a query string that is no form", "/openstack?%ff=%&&=", "/openstack"),
    Same("a letter in percent-encoding", "/%6Fpen%73tack", "/openstack"),
    Same("a slash in percent-encoding", "/openstack%2Flatest%2f", "/openstack/latest"),
    Same("a dot in percent-encoding", "/1%2e0", "/1.0"),
    Same("a URL in place of the path", "http://169.254.169.254/openstack", "/openstack"),
)


@pytest.mark.parametrize("case", SAME, ids=lambda case: case.claim)
async def test_some_spellings_mean_the_same(serve: Serve, case: Same) -> None:
    ask = await serve()
    assert (await ask(case.target)).body == (await ask(case.path)).body


NOT_THERE = (
    "/nowhere",
    "/openstack/2012-08-11",
    "/openstack/2012-08-11/meta_data.json",
    "/openstack/LATEST/meta_data.json",
    "/openstack/2012-08-11/password",
    "/openstack/latest/nothing.json",
    "/openstack/latest/meta_data.json/x",
    "/openstack/latest/Meta_Data.json",
    "/openstack/latest/user-data",
    "/openstack/latest/version",
    "/openstack/latest/content",
    "/openstack/latest/content/0000",
    "/openstack/content",
    "/openstack/content/0002",
    "/openstack/content/0",
    "/openstack/content/00000",
    "/openstack/content/-001",
    "/openstack/content/%2B000",
    "/openstack/content/%EF%BC%90000",
    "/openstack/content/0000/x",
    "/ec2",
    "/ec2/latest",
    "/2009-04-05",
    "/1.0/meta-data/instance-type",
    "/latest/user_data",
    "/latest/meta-data/kernel-id",
    "/latest/meta-data/hostname/x",
    "/latest/meta-data/security-groups/default",
    "/latest/meta-data/public-keys/2",
    "/latest/meta-data/public-keys/0=ops",
    "/latest/meta-data/public-keys/0/_name",
    "/latest/meta-data/public-key",
    "/latest/meta-data/placement/availability-zone/x",
    "/mdsvc/v2",
    "/mdsvc/v1/layout/x",
    "/mdsvc/v1/emulator_cpus",
    "/.",
    "/openstack/./latest",
    "/openstack/../openstack",
    "/openstack/%2e%2e/openstack",
    "/openstack%252Flatest",
    "/openstack/latest ".replace(" ", "%20"),
    "/openstack/latest%0A",
    "/openstack/latest%00",
    "/openstack/latest/meta_data.json%3Fa",
    "/%",
    "/%FF",
    "/%C3%A9",
    "/:80/openstack",
    "//user@host:99999/openstack",
    "//[::1/openstack",
    "/" + 1000 * "a/",
)


@pytest.mark.parametrize("target", NOT_THERE, ids=lambda target: target[:40])
async def test_what_is_not_there_is_404(serve: Serve, target: str) -> None:
    reply = await (await serve())(target)
    assert reply.status == 404
    assert str(reply.type).lower() == TEXT.lower()
    assert reply.body


async def test_a_version_has_a_password_from_2013_04_04_on(serve: Serve) -> None:
    ask = await serve()
    for version, status in (("2012-08-10", 404), ("2013-04-04", 200), ("latest", 200)):
        for method in ("GET", "HEAD"):
            reply = await ask(f"/openstack/{version}/password", method=method)
            assert reply.status == status
    refused = await ask("/openstack/2012-08-10/password", method="POST", body=b"secret")
    assert refused.status == 404
    assert not (await ask("/openstack/latest/password")).body
