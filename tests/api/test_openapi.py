"""The OpenAPI document: of every call, with every status, and with examples that are taken."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest

from mdsvc.api import ROUTES
from mdsvc.api.openapi import document, error_codes
from mdsvc.api.route import Route
from mdsvc.errors import Code
from mdsvc.problems import STATUS_OF_CODE
from tests.api.asking import Ask

DOCUMENT = document(ROUTES)
WITH_BODY = [route for route in ROUTES if route.body]


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.path][route.method.lower()]
    return found


def test_every_code_has_a_status() -> None:
    assert STATUS_OF_CODE.keys() == set(get_args(Code))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_call_is_described(route: Route) -> None:
    described = operation(route)
    statuses = {*route.answers, *(STATUS_OF_CODE[code] for code in error_codes(route))}
    assert set(described["responses"]) == set(map(str, statuses))
    assert described["summary"].endswith(".")
    in_path = {p["name"] for p in described["parameters"] if p["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", route.path))
    assert ("requestBody" in described) is (route.body is not None)


def test_calls_are_named_once() -> None:
    named = [operation(route)["operationId"] for route in ROUTES]
    assert len(set(named)) == len(named) == sum(map(len, DOCUMENT["paths"].values()))


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route.method} {route.path}")
def test_examples_are_taken(route: Route) -> None:
    media = operation(route)["requestBody"]["content"]["application/json"]
    for example in media["examples"].values():
        assert route.read(json.dumps(example["value"]).encode())


def test_every_schema_that_is_named_is_there() -> None:
    named = set(re.findall('"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert named <= DOCUMENT["components"]["schemas"].keys()


async def test_the_server_gives_it(ask: Ask) -> None:
    reply = await ask("GET", "/openapi.json")
    assert (reply.status, reply.json) == (200, json.loads(json.dumps(DOCUMENT)))
