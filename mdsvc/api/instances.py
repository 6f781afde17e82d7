"""Guests: listed, placed, removed, and what belongs to one."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from mdsvc.api.etags import instance_etag
from mdsvc.api.pages import Damaged, damaged, page
from mdsvc.api.route import Answer, Call
from mdsvc.control import instances, moves, repeats, reports, resizing, user_data
from mdsvc.errors import BadInput
from mdsvc.forms import Form
from mdsvc.guarding.tokens import SHUT_OUT
from mdsvc.instance import Content, PlacedInstance
from mdsvc.libvirt import domain_xml
from mdsvc.names import HostName, canonical_uuid
from mdsvc.policy.flavor import Flavor, Image
from mdsvc.policy.unknown_keys import warnings

PATIENCE_SECONDS = 15.0
"""For how long whoever lists those that drift waits for a first look at all guests."""


class Instances(msgspec.Struct, frozen=True):
    """A page of guests, by UUID; ``next`` is the marker of the next page. There may be one after a
    page with fewer guests than were asked for.
    Those whose records cannot be read are ``damaged``.
    """

    instances: tuple[PlacedInstance, ...]
    next: str | None
    damaged: tuple[Damaged, ...] | UnsetType = UNSET


class WhereQuery(Form, frozen=True):
    """On which host a guest is to be placed, and on no other."""

    host: HostName | None = None


async def list_instances(call: Call) -> Answer:
    """Every guest, or those of a host or a project, or that drift or do not, page by page."""
    asked, store = call.query, call.store
    marker = asked.marker and asked.marker.lower()
    if not asked.drifted:
        listed = await store.list_instances(asked.host, asked.project_id, marker, asked.limit + 1)
        shown, last = page(listed, asked.limit)
        following = last.uuid if last else None
        return Answer(Instances(shown, following, damaged(listed, following)))
    wanted = reports.Wanted(
        drifted=asked.drifted == "true",
        host=asked.host,
        project_id=asked.project_id,
        after=marker,
    )
    found, following = await reports.list_by_drift(
        store, call.backend.drifting, wanted, asked.limit, PATIENCE_SECONDS
    )
    return Answer(Instances(tuple(found), following, damaged(found, following)))


async def create_instance(call: Call) -> Answer:
    """Place a guest on the best host, or on the one named. The same once more is answered with what
    is stored.
    """
    guest, is_new = await repeats.ensure_instance(
        call.store, call.body, call.query.host, call.backend.unknown_keys
    )
    return _shut_out(call, _warned(_guest(guest, 201 if is_new else 200)))


async def get_instance(call: Call) -> Answer:
    """One guest with its layout."""
    return _guest(await instances.get_instance(call.store, call.path["uuid"]))


async def get_status(call: Call) -> Answer:
    """What the guest has reported back last, and why it is taken to drift, if it is."""
    return Answer(await reports.get_status(call.store, call.path["uuid"]))


async def put_instance(call: Call) -> Answer:
    """Describe a guest anew, in all that is no CPU business: where it is stays as it is."""
    uuid = canonical_uuid(call.path["uuid"])
    if call.body.uuid != uuid:
        raise BadInput(f"uuid: expected {uuid}, as in the path, got {call.body.uuid}", "uuid")
    changed = await instances.change_instance(call.store, call.body, call.if_match.instance)
    return _shut_out(call, _guest(changed))


async def delete_instance(call: Call) -> Answer:
    """Remove a guest, and free what it used."""
    await instances.delete_instance(call.store, call.path["uuid"], call.if_match.instance)
    return Answer(status=204)


class Resize(Form, frozen=True):
    """What a guest is to be from now on; without an image it keeps its own."""

    flavor: Flavor
    image: Image | None = None


async def resize_instance(call: Call) -> Answer:
    """Give a guest another flavor: on its own host if it fits there, else on the best other one."""
    body, keys = call.body, call.backend.unknown_keys
    uuid = call.path["uuid"]
    resized = await resizing.resize_instance(call.store, uuid, body.flavor, body.image, keys)
    return _warned(_guest(resized))


class Migrate(Form, frozen=True):
    """Where a guest is to go; null is the best other host."""

    host: HostName | None = None


async def migrate_instance(call: Call) -> Answer:
    """Move a guest to the host named, or to the best other one."""
    return _guest(await moves.migrate_instance(call.store, call.path["uuid"], call.body.host))


class Rebuild(Form, frozen=True):
    """What the guest's new life begins with; what is left out stays, and null is no user data."""

    image: Image | None = None
    user_data: Content | UnsetType | None = UNSET


async def rebuild_instance(call: Call) -> Answer:
    """Begin a new life of a guest on the same host; its password and report are forgotten."""
    body, keys = call.body, call.backend.unknown_keys
    rebuilt = await resizing.rebuild_instance(
        call.store, call.path["uuid"], body.image, body.user_data, keys
    )
    return _warned(_guest(rebuilt))


async def get_domain(call: Call) -> Answer:
    """The guest as a libvirt domain, pinned to where it is."""
    guest, host = await instances.get_instance_with_host(call.store, call.path["uuid"])
    return Answer(domain_xml(guest, host).encode())


async def get_password(call: Call) -> Answer:
    """The encrypted password that the guest has stored, byte for byte as it sent it."""
    return Answer(await instances.get_password(call.store, call.path["uuid"]))


async def delete_password(call: Call) -> Answer:
    """Forget the guest's password, so that it can store one again."""
    await instances.clear_password(call.store, call.path["uuid"])
    return Answer(status=204)


async def get_lock(call: Call) -> Answer:
    """Whether the guest's user data are closed, and since or until when."""
    return Answer(await user_data.get_lock(call.store, call.path["uuid"]))


async def put_lock(call: Call) -> Answer:
    """Close the guest's user data at once, where `user_data_after_boot` is `deny`."""
    return Answer(await user_data.lock(call.store, call.path["uuid"]))


async def delete_lock(call: Call) -> Answer:
    """Open the guest's user data anew, as a rebuild does."""
    return Answer(await user_data.unlock(call.store, call.path["uuid"]))


def _guest(guest: PlacedInstance, status: int = 200) -> Answer:
    location = f"/v1/instances/{guest.uuid}" if status == 201 else None
    return Answer(guest, status, instance_etag(guest), location)


def _warned(answer: Answer) -> Answer:
    """With what is odd about flavor and image (R28), for whoever has just chosen them."""
    assert isinstance(answer.body, PlacedInstance)
    return replace(answer, warnings=warnings(answer.body.flavor, answer.body.image))


def _shut_out(call: Call, answer: Answer) -> Answer:
    """With a warning, where the guest has to bring what cannot arrive."""
    required = isinstance(answer.body, PlacedInstance) and answer.body.tokens == "required"
    if call.backend.proxied and required:
        return replace(answer, warnings=(*answer.warnings, SHUT_OUT))
    return answer
