"""What the overlay changes in Nova's answers, and what it adds to them; all else is as it came.

A change is made only in what has the form that it changes, so an answer that is not understood
passes as it is. What is random in Nova's answers stands between ``segments``.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from bisect import insort
from collections.abc import Iterator, Mapping
from functools import cached_property
from posixpath import normpath
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from mdsvc.cpuset import CpuSet
from mdsvc.documents import ec2
from mdsvc.documents.answer import JSON, TEXT, Path
from mdsvc.names import canonical_uuid
from mdsvc.nova.replies import Reply
from mdsvc.versions import LATEST, LISTED, Entropy, Options

LAYOUT = ("openstack", LATEST, "meta_data.json")
"""Where Nova says which vCPUs a guest has to itself, from Victoria on."""

_OLDEST_NEW = LISTED["newest"][0]

_STATUSES: Mapping[int, int] = {
    200: 200,
    400: 400,
    403: 403,
    404: 404,
    409: 409,
    401: 403,
    407: 403,
    429: 503,
}
"""Neutron's agent passes 200, 400, 403, 404, 409 and 503, and closes the connection on others."""


class Shown(msgspec.Struct, frozen=True, dict=True):
    """An answer as a guest gets it. Between the segments is a seed, new in every reply."""

    status: int
    headers: Mapping[str, str]
    segments: tuple[bytes, ...]
    seed_bytes: int = 0
    always_etag: bool = False

    @property
    def is_json(self) -> bool:
        """Whether it is a JSON object that is there, so that its changes can be waited for."""
        return self.status == 200 and self.segments[0].lstrip().startswith(b"{")

    @cached_property
    def etag(self) -> str:
        """Of all but the seed."""
        return hashlib.sha256(b"\0".join(self.segments)).hexdigest()[:16]

    def body(self, entropy: Entropy, with_etag: bool = False) -> bytes:
        """The bytes to send; the etag is in them for who waits, and cannot see headers."""
        seed = b64encode(entropy(self.seed_bytes)) if self.seed_bytes else b""
        body = seed.join(self.segments)
        if not (with_etag or self.always_etag):
            return body
        end = body.rindex(b"}")
        comma = b"" if body[:end].strip() == b"{" else b", "
        return body[:end] + comma + f'"etag": "{self.etag}"'.encode() + body[end:]


# ---- what is wrong with an answer ----


def path_of(target: str) -> Path:
    """The segments of a path as Nova takes it: decoded, and what dots and slashes come to."""
    decoded = unquote(target.partition("?")[0])
    return tuple(filter(None, normpath(decoded).split("/")))


def fault(target: str, reply: Reply, uuid: str) -> str | None:
    """Why an answer to this guest cannot be passed on; None where it can."""
    if not 200 <= reply.status < 300:
        return None if reply.status >= 400 else f"expected an answer, got {reply.status}"
    path = path_of(target)
    if not path or not path[-1].endswith(".json") or path[0] != "openstack":
        return None
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        # Two slashes in front: behind some servers Nova answers with a list of versions.
        return None if target.startswith("//") else f"/{'/'.join(path)}: expected a JSON document"
    if path[-1] != LAYOUT[-1]:
        return None
    if not isinstance(document, dict):
        return f"/{'/'.join(path)}: expected a JSON object"
    return None if _is_of(document.get("uuid", uuid), uuid) else "it is another guest's answer"


def _is_of(given: Any, uuid: str) -> bool:
    return isinstance(given, str) and canonical_uuid(given) == canonical_uuid(uuid)


# ---- what is read of it ----


def dedicated_cpus(reply: Reply) -> CpuSet | None:
    """Of ``LAYOUT``'s answer; None where Nova does not tell."""
    if reply.status != 200:
        return None
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return _cpus(document.get("dedicated_cpus")) if isinstance(document, dict) else None


def _cpus(value: Any) -> CpuSet | None:
    """Nova's list, or the set's own form where the upstream is one like us."""
    try:
        if isinstance(value, str):
            return CpuSet.parse(value)
        if isinstance(value, list) and all(type(each) is int for each in value):
            return CpuSet.of(value)
    except ValueError:
        pass
    return None


# ---- Nova's documents ----


def shown(path: Path, reply: Reply, options: Options) -> Shown:
    """The upstream's answer, changed where it is a list of versions or a ``meta_data.json``."""
    if reply.status != 200:
        return as_it_is(reply)
    match path:
        case ("openstack",) if options.version_list == "newest":
            return _with_body(reply, _newest(reply.body))
        case ("openstack", _, "meta_data.json"):
            return _meta_data(reply, options)
        case _:
            return as_it_is(reply)


def as_it_is(reply: Reply) -> Shown:
    """Unchanged, but for a status that the agent cannot pass."""
    is_other = 200 <= reply.status < 300
    status = _STATUSES.get(reply.status, 200 if is_other else 400)
    return Shown(status, reply.headers, (reply.body,))


def _with_body(reply: Reply, body: bytes) -> Shown:
    return Shown(reply.status, reply.headers, (body,))


def _newest(body: bytes) -> bytes:
    """Of the listed versions those with the field; the list as it is where there is none."""
    versions = body.decode(errors="surrogateescape").split("\n")
    newer = [each for each in versions if _is_new(each)]
    kept = [each for each in versions if _is_new(each) or each == LATEST]
    return "\n".join(kept).encode(errors="surrogateescape") if newer else body


def _is_new(version: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", version)) and version >= _OLDEST_NEW


def _meta_data(reply: Reply, options: Options) -> Shown:
    try:
        text = reply.body.decode()
        members = list(_members(text))
    except (ValueError, RecursionError):
        return as_it_is(reply)
    segments, seed_bytes, at = [""], 0, 0
    for member in members:
        cpus = _cpus(member.value)
        if member.name == "dedicated_cpus" and cpus is not None and _changes(member.value, options):
            segments[-1] += text[at : member.start] + json.dumps(str(cpus))
            at = member.end
        elif member.name == "random_seed" and (size := _seed_size(member.value)):
            segments[-1] += text[at : member.start + 1]
            segments.append("")
            seed_bytes, at = size, member.end - 1
    segments[-1] += text[at:]
    return Shown(200, reply.headers, tuple(map(str.encode, segments)), seed_bytes)


def _changes(value: Any, options: Options) -> bool:
    return isinstance(value, list) and options.dedicated_cpus_format == "cpuset"


def _seed_size(value: Any) -> int:
    """Bytes of a seed; 0 where this is none."""
    try:
        return len(b64decode(value, validate=True)) if isinstance(value, str) else 0
    except ValueError:
        return 0


class _Member(NamedTuple):
    """A member of the outermost object, and where its value stands in the text."""

    name: str
    value: Any
    start: int
    end: int


_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


def _members(text: str) -> Iterator[_Member]:
    """Raises ValueError where the text is no JSON object."""
    if not isinstance(json.loads(text), dict):
        raise ValueError("expected a JSON object")
    at = _past(text, text.index("{") + 1)
    while text[at] != "}":
        name, end_of_name = _decode(text, at)
        start = _past(text, text.index(":", end_of_name) + 1)
        value, end = _decode(text, start)
        yield _Member(name, value, start, end)
        at = _past(text, end)
        if text[at] == ",":
            at = _past(text, at + 1)


def _past(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


# ---- what is added ----


def needs_layout(path: Path) -> bool:
    """Whether what Nova answers there is changed by which CPUs the guest has to itself."""
    match path:
        case (version, "meta-data") | (version, "meta-data", "cpu"):
            return version in ec2.LISTED
        case (version, "meta-data", "cpu", "dedicated"):
            return version in ec2.LISTED
        case _:
            return False


def with_cpu(path: Path, reply: Reply, cpus: CpuSet | None) -> Shown:
    """EC2's tree with a folder ``cpu/``, for a guest that has CPUs to itself.

    There is no ``shared``: how many vCPUs a guest has, Nova's metadata do not say.
    """
    if cpus and reply.status == 200 and len(path) == 2:
        return _with_body(reply, _with_folder(reply.body))
    if cpus and reply.status == 404 and len(path) > 2:
        return _text("dedicated" if len(path) == 3 else str(cpus))
    return as_it_is(reply)


def _with_folder(body: bytes) -> bytes:
    names = body.split(b"\n") if body else []
    if not {b"cpu", b"cpu/"} & set(names):
        insort(names, b"cpu/")
    return b"\n".join(names)


def own(path: Path, cpus: CpuSet | None) -> Shown | None:
    """A document of the project's own tree; None where it is none, or the CPUs are not known."""
    if cpus is None:
        return None
    match path:
        case ("mdsvc",):
            return _text("v1/")
        case ("mdsvc", "v1"):
            return _text("layout\ndedicated_cpus")
        case ("mdsvc", "v1", "layout"):
            body = json.dumps({"dedicated_cpus": str(cpus)}).encode()
            return Shown(200, {"Content-Type": JSON}, (body,), always_etag=True)
        case ("mdsvc", "v1", "dedicated_cpus"):
            return _text(str(cpus))
        case _:
            return None


def _text(text: str) -> Shown:
    return Shown(200, {"Content-Type": TEXT}, (text.encode(),))
