"""The clients, in the order in which they are told of: a row for each, and its boot below.

A boot asks what the client asks, in its order, and stops where it would.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from mdsvc.doctor.visit import Reply, Stops, Visit, json_object

_EC2 = "latest/meta-data"


class Client(NamedTuple):
    """``boot`` asks as the client does; raises Stops where it gives up."""

    name: str
    user_agent: str
    boot: Callable[[Visit], Awaitable[None]]


# ---- cloud-init ----

_KNOWN = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
)
"""Of OpenStack's versions those that cloud-init knows, up to 26.2."""

_OTHERS = ("user_data", "vendor_data.json", "vendor_data2.json", "network_data.json")
_NO_DATASOURCE = "cloud-init has no datasource then, and the guest no keys and no user data"


async def _cloud_init(visit: Visit, honours_retry_after: bool) -> None:
    probe = await visit.ask("openstack")
    if probe.status == 503 and honours_retry_after:
        visit.notes.append("/openstack: 503 is tried again as Retry-After says")
    if probe.status != 200 or not probe.body:
        raise Stops(f"/openstack: expected 200, got {probe.got}: {_NO_DATASOURCE}")
    listed = (await visit.wanted("openstack", _NO_DATASOURCE)).text.splitlines()
    version = next((name for name in reversed(_KNOWN) if name in listed), "latest")
    folder = f"openstack/{version}"
    meta_data = json_object(
        await visit.wanted(f"{folder}/meta_data.json", _NO_DATASOURCE), _NO_DATASOURCE
    )
    _check_meta_data(visit, folder, meta_data)
    for name in _OTHERS:
        await visit.optional(f"{folder}/{name}", "cloud-init goes on without it")
    for path in _content_paths(meta_data):
        await visit.wanted(f"openstack{path}", _NO_DATASOURCE)
    tree = await _crawl(visit)
    if "cpu/dedicated" in tree:
        visit.learn(tree["cpu/dedicated"], "ds.ec2_metadata.cpu.dedicated")
    visit.learn(meta_data.get("dedicated_cpus"), "ds.meta_data.dedicated_cpus")


def _check_meta_data(visit: Visit, folder: str, meta_data: dict[str, Any]) -> None:
    if "uuid" not in meta_data:
        raise Stops(f"/{folder}/meta_data.json: expected a uuid: {_NO_DATASOURCE}")
    try:
        base64.b64decode(meta_data.get("random_seed", ""), validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise Stops(f"/{folder}/meta_data.json: expected random_seed in base64") from None


def _content_paths(meta_data: dict[str, Any]) -> Iterator[str]:
    files = meta_data.get("files")
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict) and isinstance(file.get("content_path"), str):
            yield file["content_path"]


_DEEPEST = 20
"""Folders in folders; EC2's tree has six."""


async def _crawl(visit: Visit, root: str = _EC2) -> dict[str, str]:
    """Every leaf below, by its path: what ends in ``/`` is a folder, ``0=name`` a key."""
    if root.count("/") > _DEEPEST:
        raise Stops(f"/{root}: folders in folders without end, which cloud-init follows for ever")
    listing = await visit.ask(f"{root}/")
    if listing.status != 200:
        if root == _EC2:
            cost = " and the boot waits 5 s" if listing.status == 404 else ""
            visit.notes.append(f"/{root}/: status {listing.status}, no EC2 metadata{cost}")
        return {}
    names = [*filter(None, listing.text.splitlines())]
    leaves: dict[str, str] = {}
    for name in (name for name in names if name.endswith("/")):  # folders come first
        below = await _crawl(visit, f"{root}/{name[:-1]}")
        leaves |= {f"{name}{path}": leaf for path, leaf in below.items()}
    for name in (name for name in names if not name.endswith("/")):
        if "=" in name:
            number = name.partition("=")[0]
            await visit.optional(f"{root}/{number}/openssh-key", "the key is not allowed in")
        elif leaf := await visit.optional(f"{root}/{name}", "the leaf is not there"):
            leaves[name] = leaf.text
    return leaves


# ---- the others ----


async def _ignition(visit: Visit) -> None:
    """User data of another kind are noted: a guest with Ignition would have its own."""
    path = "openstack/latest/user_data"
    reply = await visit.optional(path, "Ignition asks again, or waits for a config drive, for ever")
    if reply and reply.body and b'"ignition"' not in reply.body:
        visit.notes.append(f"/{path}: no Ignition configuration, and a guest with Ignition stops")


async def _afterburn(visit: Visit) -> None:
    """Only 200 is success; what is absent is left out."""
    await visit.wanted("openstack/2012-08-10/meta_data.json", "Afterburn fails, and its unit")
    names = ("hostname", "instance-id", "instance-type", "local-ipv4", "public-ipv4")
    for name in names:
        await visit.optional(f"{_EC2}/{name}", "Afterburn fails, and its unit")
    keys = await visit.optional(f"{_EC2}/public-keys", "Afterburn fails, and its unit")
    for number in _numbers(keys):
        await visit.optional(f"{_EC2}/public-keys/{number}/openssh-key", "the key is missing")


def _numbers(keys: Reply | None) -> list[str]:
    return [line.partition("=")[0] for line in keys.text.splitlines()] if keys else []


_WRITE_BACK = "openstack/2013-04-04/password"


async def _cloudbase_init(visit: Visit) -> None:
    """A 404 is not tried again. The password is only looked at here."""
    meta_data = json_object(
        await visit.wanted("openstack/latest/meta_data.json", "cloudbase-init has no service then"),
        "cloudbase-init has no service then",
    )
    for name in ("network_data.json", "user_data"):
        await visit.optional(f"openstack/latest/{name}", "the plugin that wants it fails")
    for path in _content_paths(meta_data):
        await visit.optional(f"openstack{path}", "the file is not written")
    if await visit.optional(_WRITE_BACK, "no password can be stored") is None:
        visit.notes.append(f"/{_WRITE_BACK}: not there, so no password is stored")
    visit.learn(meta_data.get("dedicated_cpus"), "meta_data.json")


async def _talos(visit: Visit) -> None:
    lost = "Talos tries again for 3 minutes, and gives up"
    await visit.wanted("openstack/latest/meta_data.json", lost)
    await visit.wanted("openstack/latest/network_data.json", lost)
    await visit.optional("openstack/latest/user_data", lost)
    await visit.optional(f"{_EC2}/public-ipv4", lost)
    await visit.wanted(f"{_EC2}/instance-type", lost)


async def _cloud_provider(visit: Visit) -> None:
    lost = "the node's provider id and disks stay unknown"
    reply = await visit.wanted("openstack/latest/meta_data.json", lost)
    meta_data = json_object(reply, lost)
    if "uuid" not in meta_data:
        raise Stops(f"/{reply.path}: expected a uuid: {lost}")


async def _cirros(visit: Visit) -> None:
    lost = "CirrOS waits 10 s each time, tries 20 times, and boots without metadata"
    await visit.wanted("2009-04-04/meta-data/instance-id", lost)
    for name in ("public-keys", "hostname", "local-hostname"):
        await visit.optional(f"2009-04-04/meta-data/{name}", lost)
    await visit.optional("2009-04-04/user-data", lost)


_TOKEN = "latest/api/token"  # noqa: S105  # a path
_TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105  # a header's name
_TTL = {"X_aws_ec2_metadata_token_ttl_seconds": "21600"}
_NO_TOKENS_HERE = (403, 404, 405)


async def _token(visit: Visit, otherwise: str) -> None:
    """A session's token, where there are any: AWS's clients take these statuses for "none here"."""
    reply = await visit.ask(_TOKEN, "PUT", **_TTL)
    if reply.status == 200:
        _keep(visit, reply, otherwise)
    elif reply.status not in _NO_TOKENS_HERE:
        expected = "expected 200, 403, 404 or 405"
        raise Stops(f"PUT /{_TOKEN}: {expected}, got status {reply.status}: {otherwise}")


def _keep(visit: Visit, reply: Reply, otherwise: str) -> None:
    """Raises Stops where what came can be no token."""
    token = reply.text
    if not (token.isascii() and token.isprintable()):
        got = "a web page" if reply.is_page else "what no header can hold"
        raise Stops(f"PUT /{_TOKEN}: expected a token, got {got}: {otherwise}")
    visit.keep(_TOKEN_HEADER, token)


async def _session(visit: Visit, otherwise: str) -> None:
    """A session's token, for who cannot do without one."""
    reply = await visit.ask(_TOKEN, "PUT", **_TTL)
    if reply.status != 200:
        raise Stops(f"PUT /{_TOKEN}: expected 200, got status {reply.status}: {otherwise}")
    _keep(visit, reply, otherwise)


async def _imdsd(visit: Visit) -> None:
    """As the record and the drop-in of the mdguest package set it up. Told to ask for a token, it
    takes no other answer.
    """
    lost = "systemd-imdsd imports nothing"
    await _session(visit, lost)
    for path in (f"{_EC2}/hostname", "latest/user-data", f"{_EC2}/public-keys/0/openssh-key"):
        await visit.optional(path, lost)


async def _awscli(visit: Visit) -> None:
    await _token(visit, "the AWS SDKs stop at this status")
    await visit.optional(f"{_EC2}/iam/security-credentials/", "the AWS SDKs stop at this status")
    await visit.optional(f"{_EC2}/placement/availability-zone", "no region is known")


_LAYOUT = "mdsvc/v1/layout"


async def _mdguest(visit: Visit) -> None:
    """It opens a session where it is told 401."""
    reply = await visit.ask(_LAYOUT)
    if reply.status == 401:
        await _session(visit, "mdguest knows of no dedicated CPUs, and isolates none")
        reply = await visit.ask(_LAYOUT)
    layout = visit.if_there(reply, "mdguest tries again")
    if layout:
        value = json_object(layout, "mdguest asks OpenStack's documents")
        visit.learn(value.get("dedicated_cpus"), f"/{_LAYOUT}")
        return
    lost = "mdguest knows of no dedicated CPUs, and isolates none"
    meta_data = json_object(await visit.wanted("openstack/latest/meta_data.json", lost), lost)
    visit.learn(meta_data.get("dedicated_cpus"), "/openstack/latest/meta_data.json")


CLIENTS = (
    Client("cloud-init-22.4", "Cloud-Init/22.4.2", partial(_cloud_init, honours_retry_after=False)),
    Client("cloud-init-25", "Cloud-Init/25.3", partial(_cloud_init, honours_retry_after=True)),
    Client("cloud-init-26", "Cloud-Init/26.2", partial(_cloud_init, honours_retry_after=True)),
    Client("ignition", "Ignition/2.14.0", _ignition),
    Client("afterburn", "Afterburn/5.8.2", _afterburn),
    Client("cloudbase-init", "cloudbase-init/1.1.6", _cloudbase_init),
    Client("talos", "Go-http-client/1.1", _talos),
    Client("cloud-provider-openstack", "Go-http-client/1.1", _cloud_provider),
    Client("cirros", "curl/7.88.1", _cirros),
    Client("systemd-imdsd", "systemd/261", _imdsd),
    Client("awscli", "aws-cli/2", _awscli),
    Client("mdguest", "mdguest", _mdguest),
)
