"""What has been published is frozen: every document of every version."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import pytest

from mdsvc.documents import Documents, ec2
from mdsvc.versions import VERSIONS, Options
from mdsvc.versions.version import Device
from tests.golden.documents import FROZEN, HERE, SAMPLES, Reader, frozen
from tests.golden.renew import changes, renew
from tests.http.tree import crawl, every_path

WANTED = frozen()


@pytest.mark.parametrize("name", WANTED)
def test_a_published_document_stays_as_it_is(name: str) -> None:
    assert (FROZEN / name).exists(), "see tests/golden/renew.py"
    assert WANTED[name] == (FROZEN / name).read_text(), "see tests/golden/renew.py"


def test_nothing_that_was_published_is_gone() -> None:
    assert "left over" not in changes(WANTED).values()


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_path_that_a_guest_finds_is_frozen(sample: str) -> None:
    reader = Reader(sample)
    paths = every_path(Documents(Options()), reader.guest)
    older = {*_paths(VERSIONS, "/openstack"), *_paths(ec2.VERSIONS, "")}
    there = {path for path in paths if not _is_latest(path)} | older
    there |= {f"/openstack/content/{at:04}" for at in range(len(reader.guest.files))}
    names = {name.removeprefix(f"{sample}/") for name in WANTED if name.startswith(f"{sample}/")}
    held = {_SHOWN[name] for name in names & _SHOWN.keys()}
    held |= {f"/{name.removesuffix('/listing')}" for name in names if name.endswith("listing")}
    held |= {f"/{name}" for name in names if name.endswith("meta_data.json")}
    for name in names:
        if name.endswith(".json") and not name.endswith("meta_data.json"):
            held |= json.loads(WANTED[f"{sample}/{name}"]).keys()
    assert there <= held


_SHOWN = {"ec2/listing": "/"}
"""The file whose name is not its path."""


def _paths(versions: Iterable[str], root: str) -> list[str]:
    return [f"{root}/{version}" for version in versions]


def _is_latest(path: str) -> bool:
    return "latest" in path.split("/")


def test_the_samples_have_devices_of_every_kind_and_one_has_nothing() -> None:
    kinds = {type(device) for name in SAMPLES for device in Reader(name).guest.devices}
    assert kinds == {*get_args(Device)}
    bare = json.loads((HERE / "guests/bare.json").read_bytes())
    assert bare.keys() == {
        *("uuid", "project_id", "name", "flavor"),
        *("host", "generation", "layout"),
    }


@pytest.mark.parametrize("sample", SAMPLES)
def test_latest_is_the_newest_version_byte_for_byte(sample: str) -> None:
    reader = Reader(sample)
    for newest, latest in (
        (f"/openstack/{[*VERSIONS][-1]}", "/openstack/latest"),
        (f"/{ec2.VERSIONS[-1]}", "/latest"),
    ):
        paths = [path.removeprefix(newest) for path, _ in crawl(reader.text, newest)]
        for path in paths:
            assert reader.answer(newest + path) == reader.answer(latest + path)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_list_form_changes_dedicated_cpus_alone(version: str) -> None:
    name = f"openstack/{version}/meta_data.json"
    found = Reader("mixed", Options(dedicated_cpus_format="list")).text(f"/{name}")
    expected = json.loads((FROZEN / "mixed" / name).read_text())
    if "dedicated_cpus" in expected:
        expected["dedicated_cpus"] = [2, 3, 5, 6, 7]
    assert json.loads(found) == expected


# ---- renewing ----


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three frozen files: one as wanted, one changed since, one left over."""
    for name, text in (("same", "same"), ("changed", "old"), ("gone", "old")):
        (tmp_path / name).write_text(text)
    return tmp_path


NOW = {"same": "same", "changed": "new", "below/added": "new"}


def _texts(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_to_renew_writes_what_is_new_alone(folder: Path) -> None:
    refused = renew([], NOW, folder)
    assert [line.partition(":")[0] for line in refused] == ["changed", "gone"]
    assert _texts(folder) == {"same": "same", "changed": "old", "gone": "old", "below/added": "new"}


def test_to_renew_overwrites_and_removes_what_is_named(folder: Path) -> None:
    assert renew(["changed", "gone"], NOW, folder) == []
    assert _texts(folder) == NOW
    assert not changes(NOW, folder)
