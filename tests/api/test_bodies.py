"""Bad bodies: each is one clear problem, which names the field, and nothing is stored."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from mdsvc.api.bodies import MOST
from tests.api.asking import Ask, names, problem
from tests.cli.values import UUID, guest, host
from tests.http.wire import Wire


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in host().items() if key != name}


def with_cell(**fields: object) -> dict[str, Any]:
    first, second = host()["cells"]
    return host(cells=[{**first, **fields}, second])


BAD_HOSTS: list[tuple[object, str | None]] = [
    (b"", None),
    (b"{", None),
    (b"not json", None),
    (b"\xff\xfe", None),
    (b'{"name": "h1"', None),
    (b"[" * 100_000, None),
    (b'{"a":' * 65 + b"1" + b"}" * 65, None),
    (b"null", None),
    (b"[]", None),
    (b'"h1"', None),
    (b"1e999", None),
    (without("name"), "name"),
    (without("cells"), "cells"),
    (host(None), "name"),
    (host(7), "name"),
    (host(""), "name"),
    (host("a/b"), "name"),
    (host("x" * 256), "name"),
    (host("h\u0000"), "name"),
    (host(surprise=1), "surprise"),
    (host(cells=[]), "cells"),
    (host(cells={}), "cells"),
    (host(cells="0-3"), "cells"),
    (host(cpu_shared_set="0-"), "cpu_shared_set"),
    (host(cpu_shared_set=[0]), "cpu_shared_set"),
    (host(cpu_shared_set="0,99"), "cpu_shared_set"),
    (host(cpu_shared_set="1"), None),
    (host(packing="tight"), "packing"),
    (host(service_version=0), "service_version"),
    (host(cpu_allocation_ratio="16"), "cpu_allocation_ratio"),
    (host(ram_allocation_ratio=0), "ram_allocation_ratio"),
    (with_cell(memory_mb=-1), "cells[0].memory_mb"),
    (with_cell(memory_mb=1.5), "cells[0].memory_mb"),
    (with_cell(id=10**30), "cells[0].id"),
    (with_cell(siblings=["0,4"]), "cells[0].siblings"),
    (with_cell(pages=[{"size_kb": 4}]), "cells[0].pages[0].total"),
    (with_cell(pinned="1"), None),
]

BAD_GUESTS: list[tuple[object, str | None]] = [
    (guest("x"), "uuid"),
    (guest(project_id=None), "project_id"),
    (guest(name="a\nb"), "name"),
    (guest(flavor={"vcpus": 0, "memory_mb": 1}), "flavor.vcpus"),
    (guest(flavor={"vcpus": 1}), "flavor.memory_mb"),
    (guest(addresses=[{"network": "n", "ip": "10.0.0.300"}]), "addresses[0].ip"),
    (guest(addresses=[{"network": "n", "ip": "::1", "mac": "x"}]), "addresses[0].mac"),
    (guest(devices=[{"type": "tape"}]), "devices[0].type"),
    (guest(user_data={"base64": "?"}), "user_data.base64"),
    (guest(hostname="-"), "hostname"),
]


@pytest.mark.parametrize("at", range(len(BAD_HOSTS)))
async def test_a_bad_host_is_one_problem_that_names_the_field(ask: Ask, at: int) -> None:
    body, field = BAD_HOSTS[at]
    refused = problem(await ask("POST", "/v1/hosts", body), 400, "bad_input")
    assert refused.get("field") == field
    assert len(refused["detail"]) < 500
    if field:
        assert field in refused["detail"]
    assert names(await ask("GET", "/v1/hosts")) == []


@pytest.mark.parametrize("at", range(len(BAD_GUESTS)))
async def test_a_bad_guest_is_one_problem_that_names_the_field(ask: Ask, at: int) -> None:
    body, field = BAD_GUESTS[at]
    await ask("POST", "/v1/hosts", host())
    for method, path in (("POST", "/v1/instances"), ("PUT", f"/v1/instances/{UUID}")):
        refused = problem(await ask(method, path, body), 400, "bad_input")
        assert refused.get("field") == field
    assert names(await ask("GET", "/v1/instances"), "instances", "uuid") == []


BAD_QUERIES = [
    ("/v1/hosts?limit=0", "limit"),
    ("/v1/hosts?limit=1001", "limit"),
    ("/v1/hosts?limit=-1", "limit"),
    ("/v1/hosts?limit=ten", "limit"),
    ("/v1/hosts?limit=", "limit"),
    ("/v1/hosts?limit=1.5", "limit"),
    ("/v1/hosts?limit=1&limit=2", "limit"),
    (f"/v1/hosts?limit={'9' * 5000}", "limit"),
    ("/v1/hosts?marker=", "marker"),
    ("/v1/hosts?marker=a%2Fb", "marker"),
    ("/v1/hosts?marker=%00", "marker"),
    ("/v1/hosts?page=2", "page"),
    ("/v1/hosts?host=h1", "host"),
    ("/v1/instances?marker=7", "marker"),
    ("/v1/instances?host=%FF", "host"),
    ("/v1/instances?project_id=", "project_id"),
]


@pytest.mark.parametrize(("path", "field"), BAD_QUERIES)
async def test_a_bad_query_is_one_problem_that_names_the_parameter(
    ask: Ask, path: str, field: str
) -> None:
    refused = problem(await ask("GET", path), 400, "bad_input")
    assert refused["field"] == field


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json",
             "application/json; charset=latin-1", "multipart/form-data; boundary=x"]
)  # fmt: skip
async def test_only_json_is_taken(ask: Ask, kind: str) -> None:
    reply = await ask("POST", "/v1/hosts", host(), Content_Type=kind)
    problem(reply, 415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["Application/JSON", 'application/json;charset="UTF-8"'])
async def test_json_may_be_said_in_other_ways(ask: Ask, kind: str) -> None:
    assert (await ask("POST", "/v1/hosts", host(), Content_Type=kind)).status == 201


async def test_a_body_may_be_compressed_but_not_be_more_than_4_mib_by_that(ask: Ask) -> None:
    body = json.dumps(host()).encode()
    for coding, sent in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        reply = await ask("PUT", "/v1/hosts/h1", sent, Content_Encoding=coding)
        assert reply.status in (200, 201), reply.text
    bomb = gzip.compress(b" " * (200 * MOST))
    assert len(bomb) < MOST
    problem(await ask("POST", "/v1/hosts", bomb, Content_Encoding="gzip"), 413, "too_large")
    for sent in (b"x", gzip.compress(body)[:-9], gzip.compress(body) * 2):
        refused = await ask("POST", "/v1/hosts", sent, Content_Encoding="gzip")
        problem(refused, 400, "bad_input")
    refused = await ask("POST", "/v1/hosts", body, Content_Encoding="br")
    problem(refused, 415, "unsupported_media_type")


async def test_four_mib_are_taken_and_one_byte_more_is_not(ask: Ask) -> None:
    body = json.dumps(host()).encode()
    padded = body + b" " * (MOST - len(body))
    assert (await ask("POST", "/v1/hosts", padded)).status == 201
    problem(await ask("POST", "/v1/hosts", padded + b" "), 413, "too_large")


async def test_what_says_that_it_is_too_large_is_not_read(wire: Wire) -> None:
    head = f"POST /v1/hosts HTTP/1.1\r\nHost: {wire.host}\r\nContent-Type: application/json\r\n"
    reply = await wire.send(
        head.encode() + f"Content-Length: {10**15}\r\nConnection: close\r\n\r\n".encode()
    )
    problem(reply, 413, "too_large")


async def test_chunks_are_not_read_beyond_4_mib(wire: Wire) -> None:
    head = f"POST /v1/hosts HTTP/1.1\r\nHost: {wire.host}\r\nContent-Type: application/json\r\n"
    size = 256 * 1024
    chunk = f"{size:x}\r\n".encode() + b" " * size + b"\r\n"
    sent = head.encode() + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    problem(await wire.send(sent + chunk * 17 + b"0\r\n\r\n"), 413, "too_large")


BAD_IMPORTS: list[tuple[object, str]] = [
    ({}, "domains"),
    ({"domains": [3]}, "domains[0]"),
    ({"domains": ["<network/>"]}, "domains[0]"),
    ({"domains": ["<domain"]}, "domains[0]"),
    ({"domains": [], "leases": {"default": 3}}, "leases.default"),
    ({"domains": [], "leases": {"default": {"52:54:00:00:00:11": None}}}, "leases.default"),
    ({"domains": [], "surprise": 1}, "surprise"),
]


@pytest.mark.parametrize("at", range(len(BAD_IMPORTS)))
async def test_a_bad_import_is_one_problem_that_names_the_field(ask: Ask, at: int) -> None:
    body, field = BAD_IMPORTS[at]
    await ask("POST", "/v1/hosts", host())
    answer = await ask("POST", "/v1/hosts/h1/import", body)
    assert problem(answer, 400, "bad_input")["field"].startswith(field)
