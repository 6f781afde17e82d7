"""What has been published is frozen: a golden document for each version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mdsvc.documents import ec2
from mdsvc.versions import VERSIONS, Options
from tests.golden.documents import FROZEN, Reader, frozen
from tests.golden.renew import changes, renew
from tests.http.tree import crawl

WANTED = frozen()


@pytest.mark.parametrize("name", WANTED)
def test_a_published_document_stays_as_it_is(name: str) -> None:
    assert (FROZEN / name).exists(), "see tests/golden/renew.py"
    assert WANTED[name] == (FROZEN / name).read_text(), "see tests/golden/renew.py"


def test_nothing_that_was_published_is_gone() -> None:
    assert "left over" not in changes(WANTED).values()


def test_every_version_is_frozen() -> None:
    assert {name.split("/")[1] for name in WANTED if name.endswith("meta_data.json")} == {*VERSIONS}
    trees = {name.removesuffix(".json") for name in WANTED if name.startswith("ec2/")}
    assert trees - {"ec2/listing"} == {f"ec2/{version}" for version in ec2.VERSIONS}


def test_latest_is_the_newest_version_byte_for_byte() -> None:
    reader = Reader()
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
    found = Reader(Options(dedicated_cpus_format="list")).text(f"/{name}")
    expected = json.loads((FROZEN / name).read_text())
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
