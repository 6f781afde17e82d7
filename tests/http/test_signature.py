"""Behind Neutron's metadata agent: who asks is told by headers, of which the agent signs one."""

from __future__ import annotations

import hmac
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from multidict import CIMultiDict

from mdsvc.errors import BadInput, Forged
from mdsvc.identity.neutron import NeutronIdentity
from mdsvc.settings import load
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore, SealedStore
from tests.http.guests import PROJECT, RICH_UUID, poor, rich
from tests.http.signing import ID, NAMES, SECRET, SIGNATURE, sign, signed
from tests.http.wire import Headers

OTHER_PROJECT = "0" * 32


def without(name: str) -> Headers:
    return [header for header in signed() if header[0] != name]


def with_(name: str, value: str) -> Headers:
    return [*without(name), (name, value)]


def also(name: str, value: str) -> Headers:
    return [*signed(), (name, value)]


class Case(NamedTuple):
    claim: str
    headers: Headers
    status: int


VALUES = dict(signed())

REFUSED = (
    Case("no headers", [], 400),
    *(Case(f"no {name}", without(name), 400) for name in NAMES),
    *(Case(f"an empty {name}", with_(name, ""), 400) for name in NAMES),
    *(Case(f"a blank {name}", with_(name, "  \t "), 400) for name in NAMES),
    *(Case(f"{n} twice", also(n, VALUES[n]), 400) for n in NAMES),
    *(Case(f"{n} twice, once in lower case", also(n.lower(), VALUES[n]), 400) for n in NAMES),
    *(Case(f"{n} joined with itself", with_(n, ", ".join(2 * [VALUES[n]])), 400) for n in NAMES),
    *(Case(f"{n} joined with nothing", with_(n, f"{VALUES[n]},"), 400) for n in NAMES),
    Case("another guest's signature", with_(SIGNATURE, sign("another")), 403),
    Case("a signature under another secret", signed(secret="other"), 403),
    Case("a signature under the empty secret", signed(secret=""), 403),
    Case("a signature in upper case", with_(SIGNATURE, sign(RICH_UUID).upper()), 403),
    Case("a signature cut short", with_(SIGNATURE, sign(RICH_UUID)[:-1]), 403),
    Case("a signature that goes on", with_(SIGNATURE, sign(RICH_UUID) + "0"), 403),
    Case("a signature that is none", with_(SIGNATURE, "None"), 403),
    Case("a signature that is not ASCII", with_(SIGNATURE, "\xe9" * 64), 403),
    Case("a signature that is not UTF-8", with_(SIGNATURE, "\xff" * 64), 403),
    Case("an instance that is not ASCII, unsigned", with_(ID, "\xc3\xa9"), 403),
    Case("an instance in another spelling than that signed", with_(ID, RICH_UUID.upper()), 403),
)

SIGNED = (
    Case("the guest", signed(), 200),
    Case("header names in lower case", [(name.lower(), value) for name, value in signed()], 200),
    Case("blanks around the values", [(name, f" {value}\t") for name, value in signed()], 200),
    Case("an instance in upper case, signed like that", signed(RICH_UUID.upper()), 200),
    Case("other headers beside them", also("X-Forwarded-For", "10.0.0.5"), 200),
    Case("another project's guest", signed(project=OTHER_PROJECT), 404),
    Case("a project in another case", signed(project=PROJECT.upper()), 404),
    Case("a project that is not ASCII", signed(project="\xc3\xa9"), 404),
    Case("a project that is not UTF-8", signed(project="\xff\xfe"), 404),
    Case("an unknown guest", signed("2b6f9d7c-3c55-4d1f-8f0e-5f0a3a1c9e12"), 404),
    Case("a guest's name in place of its UUID", signed("DPDK 0"), 404),
    Case("an instance that is not ASCII", signed("\xc3\xa9"), 404),
    Case("an instance that is not UTF-8", signed("\xff"), 404),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.claim)
async def test_who_is_not_signed_for_is_refused_before_any_look_up(
    serve: Serve, case: Case
) -> None:
    ask = await serve(SealedStore(), identity="neutron", shared_secret=(SECRET,))
    reply = await ask("/openstack", case.headers)
    assert (reply.status, reply.type) == (case.status, "text/plain; charset=UTF-8")


@pytest.mark.parametrize("case", SIGNED, ids=lambda case: case.claim)
async def test_who_is_signed_for_is_looked_up(serve: Serve, case: Case) -> None:
    ask = await serve(identity="neutron", shared_secret=(SECRET,))
    reply = await ask("/openstack", case.headers)
    assert (reply.status, reply.type) == (case.status, "text/plain; charset=UTF-8")


@pytest.mark.parametrize("path", ["/", "/openstack", "/latest", "/mdsvc", "/nowhere"])
async def test_no_path_is_open_to_the_unsigned(serve: Serve, path: str) -> None:
    ask = await serve(SealedStore(), identity="neutron", shared_secret=(SECRET,))
    assert (await ask(path)).status == 400


async def test_the_right_signature_is_never_told(serve: Serve) -> None:
    ask = await serve(SealedStore(), identity="neutron", shared_secret=(SECRET,))
    for case in REFUSED:
        reply = await ask("/openstack", case.headers)
        assert sign(RICH_UUID).encode() not in reply.body
        assert SECRET.encode() not in reply.body


async def test_the_address_says_nothing_about_who_asks(serve: Serve) -> None:
    other = replace(poor(), project_id=PROJECT)
    ask = await serve(
        FakeStore(rich("127.0.0.2"), other), identity="neutron", shared_secret=(SECRET,)
    )
    assert (await ask("/openstack/latest/meta_data.json", signed())).json["uuid"] == RICH_UUID


@pytest.mark.parametrize(
    ("claim", "secrets", "used", "status"),
    [
        ("before a rotation", ("old",), "old", 200),
        ("in a rotation the old secret is good", ("new", "old"), "old", 200),
        ("in a rotation the new secret is good", ("new", "old"), "new", 200),
        ("of three, the middle one is good", ("new", "mid", "old"), "mid", 200),
        ("after a rotation the old secret is not", ("new",), "old", 403),
        ("a list of secrets is not one secret", ("new", "old"), "new,old", 403),
    ],
)
async def test_secrets_can_be_rotated(
    serve: Serve, claim: str, secrets: tuple[str, ...], used: str, status: int
) -> None:
    ask = await serve(identity="neutron", shared_secret=secrets)
    assert (await ask("/openstack", signed(secret=used))).status == status


async def test_secrets_may_be_any_text(serve: Serve) -> None:
    ask = await serve(identity="neutron", shared_secret=("pässwört ☃",))
    assert (await ask("/openstack", signed(secret="pässwört ☃"))).status == 200


@pytest.mark.parametrize("secrets", [(), ("",), ("good", "")])
def test_no_secret_and_an_empty_one_are_refused(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="secret"):
        NeutronIdentity(secrets)


@pytest.mark.parametrize("secrets", [None, "", ",", "a,", ",a", "a,,b"])
def test_the_settings_refuse_them_too(secrets: str | None) -> None:
    environ = {"MDSVC_IDENTITY": "neutron"}
    with pytest.raises(BadInput, match=r"(?i)shared_secret"):
        load(None, environ | ({} if secrets is None else {"MDSVC_SHARED_SECRET": secrets}), {})


async def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def noted(known: bytes, given: bytes) -> bool:
        compared.append((known, given))
        return False

    monkeypatch.setattr(hmac, "compare_digest", noted)
    with pytest.raises(Forged):
        await NeutronIdentity(["a", "b"]).guest(SealedStore(), "", CIMultiDict(signed(secret="a")))
    given = sign(RICH_UUID, "a").encode()
    assert compared == [(sign(RICH_UUID, secret).encode(), given) for secret in "ab"]
