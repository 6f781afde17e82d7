"""The oracle's `documents` operation: every answer of Nova's metadata API for one guest.

Answers come through Nova's own WSGI handler, so statuses, types, listings and bodies are Nova's.
"""
# mypy: disable-error-code="import-not-found,import-untyped,attr-defined,misc"

import base64
from collections.abc import Iterator
from typing import Any
from unittest import mock

import oracle_instance

from nova import block_device
from nova.api.metadata import base as metadata
from nova.api.metadata import handler

Json = dict[str, Any]

OPENSTACK_VERSIONS = (*metadata.OPENSTACK_VERSIONS, "latest")
OPENSTACK_NAMES = (
    metadata.MD_JSON_NAME,
    metadata.UD_NAME,
    metadata.PASS_NAME,
    metadata.VD_JSON_NAME,
    metadata.NW_JSON_NAME,
    metadata.VD2_JSON_NAME,
)
EC2_VERSIONS = (*metadata.VERSIONS, "latest")
# What some guests have and others lack, so that it is asked for either way.
EC2_OPTIONAL = (
    "/user-data",
    "/meta-data/kernel-id",
    "/meta-data/ramdisk-id",
    "/meta-data/public-keys",
    "/meta-data/public-keys/0",
    "/meta-data/public-keys/0/openssh-key",
)


class Handler(handler.MetadataRequestHandler):
    """Nova's handler for one guest, whoever asks."""

    def __init__(self, guest: metadata.InstanceMetadata) -> None:
        super().__init__()
        self._guest = guest

    def get_metadata_by_remote_address(self, _address: str) -> metadata.InstanceMetadata:
        """Return the guest, where Nova would ask Neutron and the database."""
        return self._guest


def answer(request: Json) -> Json:
    """Ask Nova for every path, sorted into documents, missing paths and server errors."""
    app = Handler(_instance_metadata(request))
    result: Json = {"documents": {}, "types": {}, "missing": [], "broken": {}}
    # The paths of the newest EC2 version, so that an older one is asked for them all as well.
    newest = [path.removeprefix("/latest") for path in _ec2_paths(app, "/latest")]
    relative = sorted({*newest, *EC2_OPTIONAL})
    contents = range(len(request["instance"].get("files", [])) + 1)
    content_paths = [f"/openstack/content/{number:04}" for number in contents]
    for path in (*_paths(relative), *content_paths, *request.get("paths", [])):
        _ask(app, path, result)
    return result


def _paths(ec2_relative: list[str]) -> Iterator[str]:
    yield "/"
    for version in EC2_VERSIONS:
        yield from (f"/{version}{path}" for path in ec2_relative)
    yield "/openstack"
    for version in OPENSTACK_VERSIONS:
        yield f"/openstack/{version}"
        yield from (f"/openstack/{version}/{name}" for name in OPENSTACK_NAMES)


def _ec2_paths(app: Handler, directory: str) -> Iterator[str]:
    """Walk the EC2 tree as a guest does: names that end in `/` and `N=NAME` are directories."""
    yield directory
    for name in _get(app, directory).text.splitlines():
        key, _, key_name = name.partition("=")
        if name.endswith("/") or key_name:
            yield from _ec2_paths(app, f"{directory}/{key.removesuffix('/')}")
        else:
            yield f"{directory}/{name}"


def _ask(app: Handler, path: str, result: Json) -> None:
    try:
        response = _get(app, path)
    except Exception as error:  # noqa: BLE001 - Nova's server makes a 500 of whatever comes through
        result["broken"][path] = f"{type(error).__name__}: {error}"
        return
    if response.status_int == 404:
        result["missing"].append(path)
    elif response.status_int != 200:
        result["broken"][path] = response.status
    else:
        result["documents"][path] = _text(response.body)
        result["types"][path] = response.headers["Content-Type"]


def _get(app: Handler, path: str) -> Any:
    return handler.wsgi.Request.blank(path).get_response(app)


def _text(body: bytes) -> str | Json:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _instance_metadata(request: Json) -> metadata.InstanceMetadata:
    """Build what Nova's handler serves from; no `network_data` is Nova's case of no network."""
    form = request["instance"]
    groups = [{"name": name} for name in form.get("security_groups", [])]
    # The two questions that Nova asks the database and Neutron whatever it is given.
    with (
        mock.patch.object(metadata, "_format_instance_mapping", _no_block_devices),
        mock.patch.object(
            metadata.security_group_api, "get_instance_security_groups", return_value=groups
        ),
    ):
        guest = metadata.InstanceMetadata(
            oracle_instance.nova_instance(form, request.get("cells"), request.get("ec2") or {}),
            address="",
            content=oracle_instance.file_contents(form),
            network_info=oracle_instance.nova_network_info(form),
            network_metadata=form.get("network_data", {}),
        )
    guest.vendordata_providers["StaticJSON"]._data = request.get("vendor_data") or {}
    return guest


def _no_block_devices(instance: Any) -> Any:
    return block_device.instance_block_mapping(instance, [])
