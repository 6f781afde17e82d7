"""2012-08-10 (Folsom): meta_data.json with the guest's names, keys and files; user_data."""

from mdsvc.instance import content_bytes
from mdsvc.versions.version import ABSENT, Version, View


def _meta_data(view: View) -> object:
    fields = ((name, render(view)) for name, render in view.version.fields.items())
    return {name: value for name, value in fields if value is not ABSENT}


def _user_data(view: View) -> object:
    content = view.guest.user_data
    return ABSENT if content is None else content_bytes(content)


def _files(view: View) -> object:
    return [
        {"path": file.path, "content_path": f"/content/{number:04}"}
        for number, file in enumerate(view.guest.files)
    ] or ABSENT


def _public_keys(view: View) -> object:
    """SSH keys alone: guests allow in whatever stands here. ``keys`` has the certificates too."""
    pairs = [pair for pair in view.guest.key_pairs if pair.type == "ssh"]
    return {pair.name: pair.public_key for pair in pairs} or ABSENT


def _keys(view: View) -> object:
    return [
        {"name": pair.name, "type": pair.type, "data": pair.public_key}
        for pair in view.guest.key_pairs
    ] or ABSENT


VERSION = Version(
    "2012-08-10",
    fields={
        "uuid": lambda view: view.guest.uuid,
        "meta": lambda view: view.guest.meta or ABSENT,
        "files": _files,
        "public_keys": _public_keys,
        "keys": _keys,
        "hostname": lambda view: view.guest.hostname,
        "name": lambda view: view.guest.name,
        "launch_index": lambda view: view.guest.launch_index,
        "availability_zone": lambda view: view.guest.availability_zone,
    },
    files={"meta_data.json": _meta_data, "user_data": _user_data},
)
