"""An entry of clouds.yaml, which every OpenStack client reads: where Keystone is, and as whom.

The places are those of openstacksdk: ``OS_CLIENT_CONFIG_FILE``, the working directory,
``~/.config/openstack``, ``/etc/openstack``; ``secure.yaml`` beside it adds what is secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml  # type: ignore[import-untyped]  # has no types of its own

from mdsvc.errors import BadInput, NotFound

_OVERRIDE = "_endpoint_override"
_AUTH_TYPES = ("password", "v3password", "v3applicationcredential")


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """How to ask a cloud. ``auth`` is what Keystone's ``POST /v3/auth/tokens`` takes as it;
    ``endpoints`` are those that count more than the catalog's, by the service's type.
    """

    name: str
    auth_url: str
    auth: Mapping[str, Any]
    region: str | None = None
    interface: str = "public"
    cacert: str | None = None
    verify: bool = True
    endpoints: Mapping[str, str] = {}


def cloud(name: str, environ: Mapping[str, str]) -> Cloud:
    """The cloud of that name. Raises NotFound, and BadInput naming the file and the field."""
    path = _path(environ)
    entries = _entries(path)
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise NotFound(f"{path}: no cloud {name}; there are: {known}")
    secure = path.with_name("secure.yaml")
    secret = _entries(secure).get(name) if secure.exists() else None
    try:
        return _cloud(name, _joined(_mapping(entries[name], name), secret or {}))
    except BadInput as error:
        raise BadInput(f"{path}: clouds.{error}") from None


def _path(environ: Mapping[str, str]) -> Path:
    named = environ.get("OS_CLIENT_CONFIG_FILE")
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    folders = [Path(), home / "openstack", Path("/etc/openstack")]
    paths = [Path(named)] if named else [folder / "clouds.yaml" for folder in folders]
    there = [path for path in paths if path.exists()]
    if not there:
        raise NotFound(f"expected clouds.yaml as one of {', '.join(map(str, paths))}")
    return there[0]


def _entries(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise BadInput(f"{path}: expected YAML: {said[:200]}") from None
    clouds = document.get("clouds") if isinstance(document, dict) else None
    return _mapping(clouds or {}, f"{path}: clouds")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{where}: expected a mapping")
    return value


def _joined(one: Mapping[str, Any], more: Mapping[str, Any]) -> Mapping[str, Any]:
    both = dict(one)
    for key, value in more.items():
        deeper = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = _joined(both[key], value) if deeper else value
    return both


def _cloud(name: str, entry: Mapping[str, Any]) -> Cloud:
    auth = _mapping(entry.get("auth", {}), f"{name}.auth")
    if entry.get("auth_type", _AUTH_TYPES[0]) not in _AUTH_TYPES:
        known = f"expected one of {', '.join(_AUTH_TYPES)}"
        raise BadInput(f"{name}.auth_type: {known}, got {str(entry['auth_type'])[:60]!r}")
    auth_url = _url(_text(auth, "auth_url", name), f"{name}.auth.auth_url")
    return Cloud(
        name=name,
        auth_url=auth_url.rstrip("/").removesuffix("/v3"),
        auth=_auth(auth, name),
        region=entry.get("region_name"),
        interface=str(entry.get("interface") or "public").removesuffix("URL"),
        cacert=entry.get("cacert"),
        verify=entry.get("verify", True) is not False,
        endpoints={
            str(key).removesuffix(_OVERRIDE): _url(str(value), f"{name}.{key}")
            for key, value in entry.items()
            if str(key).endswith(_OVERRIDE) and value
        },
    )


def _auth(auth: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """By an application credential where there is one, else by password in a project."""
    if "application_credential_id" in auth or "application_credential_name" in auth:
        credential = {"secret": _text(auth, "application_credential_secret", name)}
        if "application_credential_id" in auth:
            credential["id"] = _text(auth, "application_credential_id", name)
            return _identity("application_credential", credential)
        named = {
            "name": _text(auth, "application_credential_name", name),
            "user": _user(auth, name),
        }
        return _identity("application_credential", credential | named)
    user = _user(auth, name) | {"password": _text(auth, "password", name)}
    project = _by_id_or_name(auth, "project", name)
    return {**_identity("password", {"user": user}), "scope": {"project": project}}


def _identity(method: str, how: Mapping[str, Any]) -> dict[str, Any]:
    return {"identity": {"methods": [method], method: how}}


def _user(auth: Mapping[str, Any], name: str) -> dict[str, Any]:
    if "user_id" in auth:
        return {"id": auth["user_id"]}
    return {"name": _text(auth, "username", name), "domain": _domain(auth, "user")}


def _by_id_or_name(auth: Mapping[str, Any], what: str, name: str) -> dict[str, Any]:
    if f"{what}_id" in auth:
        return {"id": auth[f"{what}_id"]}
    return {"name": _text(auth, f"{what}_name", name), "domain": _domain(auth, what)}


def _domain(auth: Mapping[str, Any], what: str) -> dict[str, Any]:
    for key in (f"{what}_domain_id", f"{what}_domain_name", "domain_id", "domain_name"):
        if key in auth:
            return {"id" if key.endswith("_id") else "name": auth[key]}
    return {"id": "default"}


def _text(values: Mapping[str, Any], key: str, name: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value:
        raise BadInput(f"{name}.auth.{key}: expected text")
    return value


def _url(text: str, field: str) -> str:
    try:
        url = urlsplit(text)
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return text
    except ValueError:  # a port that is none
        pass
    raise BadInput(f"{field}: expected http://HOST:PORT/PATH or https://…, got {text[:100]!r}")
