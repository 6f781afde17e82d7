"""The trees that a guest finds by following listings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mdsvc.documents import Documents
from mdsvc.instance import PlacedInstance

ROOTS = ("/openstack", "/", "/mdsvc")
"""Nothing lists these: a guest knows them."""


def below(folder: str, listing: str) -> Iterator[tuple[str, bool]]:
    """The paths that a folder's listing names, each with whether it is a folder itself.

    Versions are listed without a slash, in either tree, and keys as ``0=name``, as in EC2.
    """
    for name in filter(None, listing.split("\n")):
        path = f"{folder.rstrip('/')}/{name.removesuffix('/')}"
        if folder.endswith("/public-keys"):
            yield path.partition("=")[0], True
        else:
            yield path, name.endswith("/") or folder in ("/", "/openstack")


def crawl(read: Callable[[str], str], folder: str) -> Iterator[tuple[str, bool]]:
    """Every path from a folder on, with whether it is one."""
    yield folder, True
    for path, is_folder in below(folder, read(folder)):
        if is_folder:
            yield from crawl(read, path)
        else:
            yield path, False


def every_path(documents: Documents, guest: PlacedInstance) -> dict[str, bool]:
    """All that the guest finds, with whether it is a folder."""

    def read(path: str) -> str:
        answer = documents.find(guest, segments(path))
        assert answer, f"{path} is listed, but not there"
        return answer.body.decode()

    return dict(found for root in ROOTS for found in crawl(read, root))


def segments(path: str) -> tuple[str, ...]:
    return tuple(filter(None, path.split("/")))
