"""Methods, and which statuses and headers a guest gets."""

from __future__ import annotations

from random import Random

import pytest

from tests.http.conftest import Serve
from tests.http.signing import SECRET, signed
from tests.http.test_paths import NOT_THERE, PATHS
from tests.http.wire import Reply, Wire

TEXT, BYTES = "text/plain; charset=UTF-8", "text/plain; charset=ISO-8859-1"
PASSED_ON = {200, 400, 403, 404, 409, 500, 502, 503, 504}
"""The statuses that Neutron's agents pass on; they make a failure of their own of any other."""

OTHERS = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "LOCK")
META_DATA = "/openstack/latest/meta_data.json"


def _shown(reply: Reply) -> tuple[int, dict[str, str]]:
    """Without the date; and no length is a length of 0, as a reply to HEAD may leave it out."""
    headers = {name: text for name, text in reply.headers.items() if name != "Date"}
    return reply.status, {"Content-Length": "0", **headers}


@pytest.mark.parametrize("path", [*PATHS, META_DATA, "/nowhere"])
async def test_head_is_get_without_the_body(serve: Serve, path: str) -> None:
    ask = await serve()
    head, get = await ask(path, method="HEAD"), await ask(path)
    assert _shown(head) == _shown(get)
    assert head.body == b""
    assert len(get.body) == int(get.headers["Content-Length"])


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("path", [META_DATA, "/", "/openstack/content/0000", "/latest/meta-data"])
async def test_documents_are_read_only(serve: Serve, path: str, method: str) -> None:
    reply = await (await serve())(path, method=method, body=b"x")
    assert (reply.status, reply.headers["Allow"], reply.type) == (405, "GET, HEAD", TEXT)


@pytest.mark.parametrize("method", OTHERS[1:])
async def test_the_password_is_read_and_posted(serve: Serve, method: str) -> None:
    reply = await (await serve())("/openstack/latest/password", method=method, body=b"x")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize("method", OTHERS)
async def test_behind_the_agent_another_method_is_400(serve: Serve, method: str) -> None:
    ask = await serve(identity="neutron", shared_secret=(SECRET,))
    reply = await ask(META_DATA, signed(), method=method, body=b"x")
    assert (reply.status, reply.headers["Allow"], reply.type) == (400, None, TEXT)


ABSENT = (
    *("/latest/api/token", "/openstack/2012-08-10/password", "/openstack/content/9999", "/ec2"),
    *("/mdsvc/v1/stati", "/latest/meta-data/public-keys/9", "/openstack/2012-08-11/password"),
    *NOT_THERE,
)


@pytest.mark.parametrize("method", ["GET", *OTHERS])
@pytest.mark.parametrize("identity", ["address", "neutron"])
async def test_what_is_not_there_is_404_with_every_method(
    serve: Serve, identity: str, method: str
) -> None:
    """Clients try ``PUT /latest/api/token`` first, and stop where that is 400."""
    ask = await serve(identity=identity, shared_secret=(SECRET,), tokens="off")
    for path in ABSENT:
        reply = await ask(path, signed(), method=method, body=b"x")
        assert (reply.status, reply.headers["Allow"]) == (404, None), path
        assert str(reply.type).lower() == TEXT.lower()


@pytest.mark.parametrize("method", ["GET", *OTHERS])
async def test_who_is_not_known_learns_nothing_of_paths(serve: Serve, method: str) -> None:
    ask = await serve(identity="neutron", shared_secret=(SECRET,))
    for path in (META_DATA, *ABSENT[:6]):
        assert (await ask(path, method=method, body=b"x")).status == 400
        forged = [*signed()[:-1], ("X-Instance-ID-Signature", "0" * 64)]
        assert (await ask(path, forged, method=method, body=b"x")).status == 403


async def test_nothing_may_be_kept_on_the_way(serve: Serve) -> None:
    ask = await serve()
    for path in (*PATHS, META_DATA, "/nowhere"):
        assert (await ask(path)).headers["Cache-Control"] == "no-store"


async def test_an_etag_that_is_known_spares_a_direct_guest_the_body(serve: Serve) -> None:
    ask = await serve()
    for path in (META_DATA, "/openstack", "/latest/meta-data/hostname"):
        etag = (await ask(path)).headers["ETag"]
        for known in (etag, etag.removeprefix("W/"), f'"other", {etag}'):
            reply = await ask(path, [("If-None-Match", known)])
            assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", etag)
            assert reply.headers["Cache-Control"] == "no-store"
        for other in ('"other"', "", etag.strip('W/"')[:-1]):
            assert (await ask(path, [("If-None-Match", other)])).status == 200
        tags = ('"other"', etag, '"another"')
        assert (await ask(path, [("If-None-Match", tag) for tag in tags])).status == 304
        assert (await ask(path, [("If-None-Match", "*")])).status == 304
    assert (await ask("/nowhere", [("If-None-Match", "*")])).status == 404


async def test_behind_the_agent_nothing_is_304(serve: Serve) -> None:
    ask = await serve(identity="neutron", shared_secret=(SECRET,))
    etag = (await ask(META_DATA, signed())).headers["ETag"]
    assert (await ask(META_DATA, [*signed(), ("If-None-Match", etag)])).status == 200


@pytest.mark.parametrize("seed", range(4))
async def test_the_agent_can_pass_on_whatever_a_guest_gets(serve: Serve, seed: int) -> None:
    random = Random(seed)
    ask = await serve(identity="neutron", shared_secret=(SECRET,))
    for _ in range(250):
        reply = await _random_request(ask, random)
        assert reply.status in PASSED_ON
        assert str(reply.type).lower() in {TEXT.lower(), BYTES.lower(), "application/json"}


_PIECES = (
    *("openstack", "latest", "2013-04-04", "meta_data.json", "password", "user_data", "content"),
    *("meta-data", "user-data", "public-keys", "0", "cpu", "mdsvc", "v1", "layout", "0000"),
    *("", ".", "..", "%00", "%0A", "%FF", "%2F", "*", ":", "a b".replace(" ", "+"), "x" * 300),
)
_QUERIES = (
    *("", "", "?", "?wait_for_change=true", "?wait_for_change=true&timeout_sec=x"),
    *("?wait_for_change=true&last_etag=%FF&timeout_sec=-1", "?timeout_sec=1e9", "?%"),
)


async def _random_request(ask: Wire, random: Random) -> Reply:
    """One that a guest can get through the agent: any method, path, query and body."""
    path = random.choice((*PATHS, *NOT_THERE, META_DATA))
    if random.random() < 0.6:
        path = "/" + "/".join(random.choices(_PIECES, k=random.randint(0, 5)))
    method = random.choice((*OTHERS, "GET", "HEAD", "POST", "get", "BREW"))
    body = random.choice((None, b"", random.randbytes(random.randint(1, 5000))))
    return await ask(path + random.choice(_QUERIES), signed(), method=method, body=body)
