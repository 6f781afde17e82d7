"""In front of each release of Nova from Liberty on, by its list and its newest version.

A release is the versions up to its own: what a guest gets of them has never changed since
(`tests/golden`, compared with Nova itself by `tests/nova/test_documents.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mdsvc.override import override
from mdsvc.versions import VERSIONS
from tests.golden.documents import FROZEN
from tests.overlay.conftest import Start, headers
from tests.overlay.test_door import without_seed
from tests.overlay.upstream import LEAVES, TEXT, FakeNova

NEWEST = {
    "Liberty 12": "2015-10-15",
    "Newton 14": "2016-10-06",
    "Ocata 15": "2017-02-22",
    "Queens 17": "2017-02-22",
    "Rocky 18": "2018-08-27",
    "Stein 19": "2018-08-27",
    "Train 20": "2018-08-27",
    "Ussuri 21": "2018-08-27",
    "Victoria 22": "2020-10-14",
    "Wallaby 23": "2020-10-14",
    "Yoga 25": "2020-10-14",
    "Antelope 27": "2020-10-14",
    "Caracal 29": "2020-10-14",
    "Dalmatian 30": "2020-10-14",
    "Epoxy 31": "2025-04-04",
    "Nova 34": "2025-04-04",
}
"""The newest version of OpenStack's metadata that each release has."""

TELLS = "2020-10-14"
"""From this version on Nova tells the dedicated vCPUs."""

SAMPLE = FROZEN / "mixed"
UUID = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"


class Release(FakeNova):
    """Nova as it was, of the sample guest."""

    def __init__(self, newest: str) -> None:
        super().__init__()
        self.versions = [version for version in VERSIONS if version <= newest]

    @override
    def said(self, path: str, uuid: str) -> tuple[int, bytes, str]:
        match path.strip("/").split("/"):
            case ["openstack"]:
                return 200, "\n".join([*self.versions, "latest"]).encode(), TEXT
            case ["openstack", version, name] if version in [*self.versions, "latest"]:
                at = self.versions[-1] if version == "latest" else version
                return _document(SAMPLE / "openstack" / at, at, name)
            case ["latest", "meta-data"]:
                return 200, LEAVES.encode(), TEXT
            case _:
                return 404, b"<html>not here</html>", "text/html; charset=UTF-8"


def _document(folder: Path, version: str, name: str) -> tuple[int, bytes, str]:
    """As Nova writes it: with the CPUs as a list."""
    if name == "meta_data.json":
        document: dict[str, Any] = json.loads((folder / name).read_text())
        if "dedicated_cpus" in document:
            document["dedicated_cpus"] = [2, 3]
        return 200, json.dumps(document).encode(), "application/json"
    kind, text = json.loads((folder / "others.json").read_text())[f"/openstack/{version}/{name}"]
    return 200, text.encode(), kind


def paths(versions: Sequence[str]) -> list[str]:
    """Every document of these versions."""
    return [
        f"/openstack/{at}/{name}"
        for version, at in [*((v, v) for v in versions), (versions[-1], "latest")]
        for name in (SAMPLE / "openstack" / version / "listing").read_text().split()
        if name != "password"
    ]


def as_shown(body: bytes) -> bytes:
    """What is to be made of Nova's: the one field in the form of a set."""
    return without_seed(body).replace(b'"dedicated_cpus": [2, 3]', b'"dedicated_cpus": "2-3"')


@pytest.mark.parametrize("release", NEWEST)
async def test_of_each_release_all_is_as_it_was_but_for_what_it_tells_of_cpus(
    front: Start, stack: AsyncExitStack, release: str
) -> None:
    nova = await Release(NEWEST[release]).start()
    stack.push_async_callback(nova.stop)
    door = await front(nova)
    who = headers(UUID)
    for path in ["/openstack", *paths(nova.versions)]:
        answer, (status, body, kind) = await door.ask(path, who=who), nova.said(path, UUID)
        assert (answer.status, answer.headers["Content-Type"]) == (status, kind)
        assert without_seed(answer.body) == as_shown(body), path
    tells = NEWEST[release] >= TELLS
    listed = (await door.ask("/latest/meta-data/", who=who)).body.decode()
    assert listed == ("\n".join(sorted([*LEAVES.split("\n"), "cpu/"])) if tells else LEAVES)
    for path in ("/latest/meta-data/cpu/dedicated", "/mdsvc/v1/dedicated_cpus"):
        answer = await door.ask(path, who=who)
        assert (answer.status, answer.body) == (
            (200, b"2-3") if tells else (404, b"<html>not here</html>")
        )


@pytest.mark.parametrize("release", NEWEST)
async def test_the_newest_versions_alone_are_listed_only_where_there_are_such(
    front: Start, stack: AsyncExitStack, release: str
) -> None:
    """An empty list would leave a guest without metadata."""
    nova = await Release(NEWEST[release]).start()
    stack.push_async_callback(nova.stop)
    door = await front(nova, version_list="newest")
    listed = (await door.ask("/openstack", who=headers(UUID))).body.decode().split("\n")
    new = [version for version in nova.versions if version >= TELLS]
    assert listed == [*(new or nova.versions), "latest"]
