"""Guests that ask for something else from now on: their old claim is given back for the new one.

In place where that is possible. What a guest asks of its host is its ``Request``: while that is
the same, whatever else of flavor and image changes, it keeps its CPUs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from mdsvc.control import in_transaction
from mdsvc.control.candidates import Candidates, NoHost, Seen, look, with_candidates
from mdsvc.control.fleet import look_at_fleet
from mdsvc.control.known import known_host, known_instance
from mdsvc.control.moves import settle
from mdsvc.errors import BadInput, DoesNotFit, InvalidRequest, Reason
from mdsvc.instance import Content, PlacedInstance
from mdsvc.layout import fit
from mdsvc.placing.choice import of_host
from mdsvc.placing.usage import place, remove
from mdsvc.policy import unknown_keys as keys
from mdsvc.policy.flavor import Flavor, Image, request
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store import Snapshot, Store, Transaction
from mdsvc.topology import Host


async def resize_instance(
    store: Store,
    uuid: str,
    flavor: Flavor,
    image: Image | None = None,
    unknown_keys: UnknownKeys = "warn",
) -> PlacedInstance:
    """Give a guest another flavor, and another image where one is given: on its own host if it fits
    there, else on the best other one. What is the same already is not written.

    Raises InvalidRequest, DoesNotFit, and Conflict (R17): then the guest stays as it was.
    """
    keys.check(flavor, image, unknown_keys)
    resize = _Resize(uuid, flavor, image)
    outcome = await in_transaction(store, resize.in_place)
    if isinstance(outcome, PlacedInstance):
        return outcome
    try:
        return await with_candidates(store, resize.look_elsewhere, resize.move)
    except NoHost:
        raise outcome from None


class _Resize(msgspec.Struct, frozen=True):
    """What a guest is to become, in place or elsewhere."""

    uuid: str
    flavor: Flavor
    image: Image | None

    async def in_place(self, tx: Transaction) -> PlacedInstance | DoesNotFit:
        """The guest, resized on its own host, or why it does not fit there."""
        guest = await known_instance(tx, self.uuid)
        after = self._of(guest)
        try:
            return guest if after == guest else await _refit(tx, guest, after)
        except DoesNotFit as refusal:
            return refusal

    async def look_elsewhere(self, snapshot: Snapshot) -> Seen:
        """The other hosts."""
        guest = await known_instance(snapshot, self.uuid)
        after = self._of(guest)
        return await look(snapshot, request(after.flavor, after.image), None, guest)

    async def move(self, tx: Transaction, candidates: Candidates) -> PlacedInstance:
        """To another host, if its own one has not got room for it meanwhile."""
        outcome = await self.in_place(tx)
        if isinstance(outcome, PlacedInstance):
            return outcome
        guest = await known_instance(tx, self.uuid)
        try:
            there, layout = await candidates.best(tx)
        except DoesNotFit as elsewhere:
            raise _nowhere(outcome, guest.host, elsewhere, candidates.hosts) from None
        return await settle(tx, guest, self._of(guest), there, layout)

    def _of(self, guest: PlacedInstance) -> PlacedInstance:
        image = guest.image if self.image is None else self.image
        return replace(guest, flavor=self.flavor, image=image)


def _nowhere(
    at_home: DoesNotFit, home: str, elsewhere: DoesNotFit, others: Sequence[Host]
) -> DoesNotFit:
    """Its own host's reasons come first; of a single other one they do not name it yet."""

    def reasons() -> list[Reason]:
        named = [r if r.host else of_host(others[0].name, r) for r in elsewhere.reasons]
        return [*(of_host(home, reason) for reason in at_home.reasons), *named]

    return DoesNotFit("fits neither on its own host nor on another one", reasons)


async def rebuild_instance(
    store: Store,
    uuid: str,
    image: Image | None = None,
    user_data: Content | UnsetType | None = UNSET,
    unknown_keys: UnknownKeys = "warn",
) -> PlacedInstance:
    """Begin a new life of a guest: with another image or user data where these are given. What the
    old life has told of itself is forgotten, and the generation rises in any case.

    CPUs stay, unless the image changes what is asked of the host: then it is fitted anew there.
    Raises BadInput, InvalidRequest, DoesNotFit, and Conflict (R17): then nothing has changed.
    """
    keys.check(None, image, unknown_keys)

    async def use_case(tx: Transaction) -> PlacedInstance:
        guest = after = await known_instance(tx, uuid)
        if image is not None:
            after = replace(after, image=image)
        if user_data is not UNSET:
            after = _with_user_data(after, user_data)
        await tx.forget_told(guest.uuid)
        return await _refit(tx, guest, after)

    return await in_transaction(store, use_case)


def _with_user_data(guest: PlacedInstance, user_data: Content | None) -> PlacedInstance:
    try:
        return replace(guest, user_data=user_data)
    except ValueError as error:
        raise BadInput(str(error)) from None


async def _refit(tx: Transaction, guest: PlacedInstance, after: PlacedInstance) -> PlacedInstance:
    """Write the guest as it is to be, fitted anew on its own host where it asks for something else.

    It is no new guest there, so that the host may be draining.
    """
    wanted = request(after.flavor, after.image)
    if wanted == _asked_before(guest):
        refitted = replace(after, generation=guest.generation + 1)
    else:
        await look_at_fleet(tx, wanted)
        here = await known_host(tx, guest.host)
        free = remove(here, guest.layout, guest.flavor)
        layout = await asyncio.to_thread(fit, replace(free, draining=False), wanted)
        refitted = replace(after, layout=layout, generation=guest.generation + 1)
        await tx.update_host(place(free, layout, after.flavor))
    await tx.update_instance(refitted)
    return refitted


def _asked_before(guest: PlacedInstance) -> object:
    """None where an older program took what is no valid request today."""
    try:
        return request(guest.flavor, guest.image)
    except InvalidRequest:
        return None
