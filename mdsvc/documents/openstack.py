"""The OpenStack tree: listings and documents of each version, and the files below ``content``."""

from __future__ import annotations

from mdsvc import versions
from mdsvc.documents.answer import Answer, Path, json, listing, text
from mdsvc.instance import PlacedInstance, content_bytes
from mdsvc.versions import ABSENT, BY_NAME, Options, View


def find(guest: PlacedInstance, path: Path, options: Options) -> Answer | None:
    """The document at a path below ``/openstack``; None where there is none."""
    match path:
        case (_,):
            return listing(versions.LISTED[guest.version_list or options.version_list])
        case (_, "content", number):
            return _content(guest, number)
        case (_, name, *rest) if name in BY_NAME and len(rest) <= 1:
            return _versioned(View(guest, options, BY_NAME[name]), rest)
    return None


def _versioned(view: View, rest: list[str]) -> Answer | None:
    files = {
        name: render(view)
        for name, render in view.version.files.items()
        if not rest or name in rest
    }
    present = {name: value for name, value in files.items() if value is not ABSENT}
    if not rest:
        return listing(present)
    if rest[0] not in present:
        return None
    value = present[rest[0]]
    if isinstance(value, bytes):
        return text(value)
    return json(value, view.version.fresh if rest[0] == "meta_data.json" else {})


def _content(guest: PlacedInstance, number: str) -> Answer | None:
    names = {f"{at:04}": file for at, file in enumerate(guest.files)}
    return text(content_bytes(names[number].content)) if number in names else None
