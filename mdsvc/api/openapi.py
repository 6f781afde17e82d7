"""The OpenAPI 3.1 document, made of the table of routes and of the very types that validate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from typing_extensions import get_type_hints

from mdsvc import __version__
from mdsvc.api.route import JSON, Answer, Call, Route
from mdsvc.cpuset import CpuSet
from mdsvc.errors import Code
from mdsvc.problems import STATUS_OF_CODE, Problem

Json = dict[str, Any]

_REFS = "#/components/schemas/{name}"

_ALWAYS: Sequence[Code] = ("bad_input", "internal", "unavailable")
_WITH_TOKEN: Sequence[Code] = ("unauthorized", "forbidden")
_WITH_BODY: Sequence[Code] = ("too_large", "unsupported_media_type")


async def get_openapi(call: Call) -> Answer:
    """This document."""
    return Answer(document(call.backend.routes))


def document(routes: tuple[Route, ...]) -> Json:
    """The document of a table."""
    types = list(dict.fromkeys(_types(routes)))
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_custom, ref_template=_REFS
    )
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mdsvc", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_ABOUT = (
    "What operators and their programs may ask: hosts, guests, and whether a guest would fit. "
    "Where no token exists yet, this machine's own listener needs none."
)


def _types(routes: Iterable[Route]) -> Iterable[Any]:
    """Every type that a schema is needed of."""
    yield Problem
    for route in routes:
        yield from filter(None, [route.body])
        for answer in route.answers.values():
            yield from _alternatives(answer)
        yield from get_type_hints(route.query, include_extras=True).values()


def _alternatives(answer: Any) -> tuple[Any, ...]:
    """An answer's types: several where they are a tuple, none where there is no body."""
    every = answer if isinstance(answer, tuple) else (answer,)
    return tuple(kind for kind in every if kind not in (None, bytes))


def _custom(kind: type) -> Json:
    assert kind is CpuSet, "no other field is of a type that msgspec does not know"
    return {
        "type": "string",
        "description": "a set of CPUs in the kernel's list form, as in 0-3,7",
        "examples": ["0-3,7"],
    }


def _operation(route: Route, by_type: dict[Any, Json]) -> Json:
    operation: Json = {
        "operationId": route.handler.__name__,
        "summary": _summary(route),
        "tags": [_tag(route)],
        "parameters": [*_path_parameters(route), *_query_parameters(route, by_type)],
        "responses": {**_answers(route, by_type), **_errors(route, by_type)},
        "security": [] if route.is_open else [{"token": []}],
    }
    if route.header:
        operation["parameters"].append(_HEADERS[route.header])
    if route.body:
        media: Json = {"schema": by_type[route.body]}
        if route.example is not None:
            media["examples"] = {"example": {"value": route.example}}
        operation["requestBody"] = {"required": True, "content": {JSON: media}}
    return operation


def _header(name: str, description: str, **schema: str) -> Json:
    schema = {"type": "string", **schema}
    return {"name": name, "in": "header", "description": description, "schema": schema}


_HEADERS: Mapping[str, Json] = {
    "If-Match": _header(
        "If-Match", "the ETag that was read; the change is refused where it is another by now"
    ),
    "Last-Event-ID": _header(
        "Last-Event-ID", "the id of the last event that came", pattern="^[0-9]{0,18}$"
    ),
}


def _summary(route: Route) -> str:
    return " ".join((route.handler.__doc__ or "").split())


def _tag(route: Route) -> str:
    return route.path.removeprefix("/v1").split("/")[1].partition(".")[0]


def _path_parameters(route: Route) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _query_parameters(route: Route, by_type: dict[Any, Json]) -> list[Json]:
    hints = get_type_hints(route.query, include_extras=True)
    return [
        {
            "name": field.encode_name,
            "in": "query",
            "required": field.required,
            "schema": _not_null(by_type[hints[field.name]], field),
        }
        for field in msgspec.structs.fields(route.query)
    ]


def _not_null(schema: Json, field: msgspec.structs.FieldInfo) -> Json:
    """A query has no null: what may be null there may be left out."""
    options = [each for each in schema.get("anyOf", [schema]) if each != {"type": "null"}]
    plain = options[0] if len(options) == 1 else {"anyOf": options}
    has_default = field.default not in (msgspec.NODEFAULT, None)
    return {**plain, "default": field.default} if has_default else plain


def _answers(route: Route, by_type: dict[Any, Json]) -> Json:
    return {str(status): _answer(route, status, by_type) for status in route.answers}


def _answer(route: Route, status: int, by_type: dict[Any, Json]) -> Json:
    answer: Json = {"description": HTTPStatus(status).phrase}
    schemas = [by_type[kind] for kind in _alternatives(route.answers[status])]
    if route.answers[status] is bytes:
        answer["content"] = {route.kind: {}}
    elif schemas:
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        answer["content"] = {route.kind: {"schema": schema}}
    return answer


def _errors(route: Route, by_type: dict[Any, Json]) -> Json:
    """By status; a status may stand for several codes."""
    by_status: dict[int, list[Code]] = {}
    for code in error_codes(route):
        by_status.setdefault(STATUS_OF_CODE[code], []).append(code)
    content = {"application/problem+json": {"schema": by_type[Problem]}}
    return {
        str(status): {"description": ", ".join(codes), "content": content}
        for status, codes in sorted(by_status.items())
    }


def error_codes(route: Route) -> list[Code]:
    """Every code that a route's answers can have."""
    codes = [*_ALWAYS, *route.errors]
    codes += () if route.is_open else _WITH_TOKEN
    codes += _WITH_BODY if route.body else ()
    return codes
