"""The config drive: the documents as files, for guests that start without a network.

What Nova puts on one (``nova.api.metadata.base.InstanceMetadata.metadata_for_config_drive``), and
the project's own ``mdsvc/v1/layout``, whose ``generation`` tells a drive from what is served now.
Passwords are not on it: a guest could not write one back.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from mdsvc.documents import Documents, ec2, joined
from mdsvc.forms import to_json
from mdsvc.instance import PlacedInstance

LABEL = "config-2"
"""What the guest looks for: Nova's drives are of version 2."""

_EC2_VERSIONS = (ec2.VERSIONS[-1], "latest")
_LEFT_OUT = "password"
_VENDOR_DATA = "vendor_data2.json"


def files(
    guest: PlacedInstance, documents: Documents, vendordata: Mapping[str, Any] | None = None
) -> Mapping[str, bytes]:
    """Paths below the drive's root, and the bytes that are served there, drawn once.

    ``vendordata`` is what the operator's own services add to ``vendor_data2.json``.
    """
    served = dict([*_openstack(guest, documents), *_ec2(guest), *_own(guest, documents)])
    for path in served:
        if vendordata and path.endswith(f"/{_VENDOR_DATA}"):
            answer = documents.find(guest, tuple(path.split("/")))
            assert answer is not None, "it was found a moment ago"
            served[path] = joined(answer, vendordata).body
    return served


def _openstack(guest: PlacedInstance, documents: Documents) -> Iterator[tuple[str, bytes]]:
    """Only the versions that are listed: on a drive a guest sees no others, and takes the newest
    that it knows.
    """
    for version in _text(guest, documents, "openstack").split():
        for name in _text(guest, documents, f"openstack/{version}").split():
            if name != _LEFT_OUT:
                yield from _document(guest, documents, f"openstack/{version}/{name}")
    for number in range(len(guest.files)):
        yield from _document(guest, documents, f"openstack/content/{number:04}")


def _ec2(guest: PlacedInstance) -> Iterator[tuple[str, bytes]]:
    """On a drive the tree's leaves are one JSON object, as cloud-init reads them there."""
    for version in _EC2_VERSIONS:
        tree = ec2.tree(guest, version)
        if "user-data" in tree:
            yield f"ec2/{version}/user-data", tree["user-data"]
        yield f"ec2/{version}/meta-data.json", to_json(_nested(tree))


def _nested(tree: Mapping[str, bytes]) -> dict[str, Any]:
    root: dict[str, Any] = {"meta-data": {}}
    for path, leaf in tree.items():
        *folders, name = path.split("/")
        folder = root
        for each in folders:
            folder = folder.setdefault(each, {})
        folder[name] = leaf.decode(errors="replace")  # user data alone is no text
    meta_data: dict[str, Any] = root["meta-data"]
    return meta_data


def _own(guest: PlacedInstance, documents: Documents) -> Iterator[tuple[str, bytes]]:
    yield from _document(guest, documents, "mdsvc/v1/layout")


def _document(
    guest: PlacedInstance, documents: Documents, path: str
) -> Iterator[tuple[str, bytes]]:
    answer = documents.find(guest, tuple(path.split("/")))
    if answer is not None:
        yield path, answer.reply(documents.entropy)


def _text(guest: PlacedInstance, documents: Documents, path: str) -> str:
    return dict(_document(guest, documents, path))[path].decode()


def image(contents: Mapping[str, bytes]) -> bytes:
    """An ISO 9660 image labelled ``config-2`` with these files, whose names are kept by Rock Ridge
    and by Joliet; readers of plain ISO 9660 see them in capitals.
    """
    import pycdlib  # slow to import, and only this needs it

    drive = pycdlib.PyCdlib()
    drive.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for folder in sorted({str(at) for path in contents for at in PurePosixPath(path).parents}):
        if folder != ".":
            drive.add_directory(*_named(folder))
    for path, body in contents.items():
        drive.add_fp(io.BytesIO(body), len(body), *_named(path, is_file=True))
    written = io.BytesIO()
    drive.write_fp(written)
    drive.close()
    return written.getvalue()


def _named(path: str, is_file: bool = False) -> tuple[str, str, str]:
    """By plain ISO 9660, Rock Ridge and Joliet. A file's plain name has a dot and a version number
    (ECMA-119, 7.5).
    """
    at = PurePosixPath(path)
    plain = path.upper().replace("-", "_") + (("" if at.suffix else ".") + ";1") * is_file
    return f"/{plain}", at.name, f"/{path}"
