"""A guest's documents as a disk that it reads without a network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import pytest

from mdsvc.demo.guest import cloud_init
from mdsvc.documents import Documents, config_drive
from mdsvc.instance import PlacedInstance
from mdsvc.versions import LISTED, Options
from tests.golden.documents import SAMPLES, Reader, entropy

_READ = """
import json, sys
from cloudinit.sources.helpers import openstack
found = openstack.ConfigDriveReader(sys.argv[1]).read_v2()
print(json.dumps([found["metadata"]["uuid"], found.get("ec2-metadata"),
                  found["metadata"].get("dedicated_cpus")]))
"""
"""Asks cloud-init's own reader of a mounted drive."""


def files(sample: str, options: Options | None = None, **changed: object) -> dict[str, bytes]:
    guest: PlacedInstance = msgspec.structs.replace(Reader(sample).guest, **changed)
    return dict(config_drive.files(guest, Documents(options or SAMPLES[sample], entropy)))


def unpacked(image: bytes, form: str, tmp_path: Path) -> dict[str, bytes]:
    """The files of an image as isoinfo sees them, by Rock Ridge (R) or Joliet (J)."""
    drive = tmp_path / "drive.iso"
    drive.write_bytes(image)

    def isoinfo(*arguments: str) -> bytes:
        command = ("isoinfo", f"-{form}", "-i", str(drive), *arguments)
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

    paths = isoinfo("-f").decode().split()
    return {path[1:]: isoinfo("-x", path) for path in paths if "." in path or path[-1].isalnum()}


@pytest.mark.parametrize("sample", SAMPLES)
def test_each_file_is_what_the_service_answers(sample: str) -> None:
    reader = Reader(sample)
    for path, body in files(sample).items():
        if not path.startswith("ec2/"):
            assert body == reader.body(f"/{path}")


@pytest.mark.parametrize("sample", SAMPLES)
def test_all_that_is_listed_is_on_it_but_the_password(sample: str) -> None:
    reader = Reader(sample)
    for version in reader.text("/openstack").split():
        listed = {*reader.text(f"/openstack/{version}").split()} - {"password"}
        folder = f"openstack/{version}/"
        assert {path[len(folder) :] for path in files(sample) if path.startswith(folder)} == listed


def test_the_ec2_tree_is_one_object_with_the_leaves_that_are_served() -> None:
    reader = Reader("mixed")
    tree = json.loads(files("mixed")["ec2/latest/meta-data.json"])
    assert tree["cpu"]["dedicated"] == reader.text("/latest/meta-data/cpu/dedicated")
    assert tree["public-keys"]["0"]["openssh-key"] == reader.text(
        "/latest/meta-data/public-keys/0/openssh-key"
    )
    assert tree["placement"]["availability-zone"] == "az1"


def test_user_data_that_is_no_text_is_there_as_it_is() -> None:
    reader = Reader("devices")
    assert files("devices")["ec2/latest/user-data"] == reader.body("/latest/user-data")


def test_the_generation_tells_a_drive_from_what_came_later() -> None:
    layout = json.loads(files("mixed", generation=7)["mdsvc/v1/layout"])
    assert layout["generation"] == 7


def test_by_the_policy_newest_only_versions_with_the_field_are_on_it() -> None:
    on_it = {path.split("/")[1] for path in files("mixed", Options(version_list="newest"))}
    assert {name for name in on_it if name != "content"} >= set(LISTED["newest"])
    assert "2018-08-27" not in on_it


@pytest.mark.parametrize("form", ["R", "J"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_an_image_has_its_files_by_both_kinds_of_long_names(
    sample: str, form: str, tmp_path: Path
) -> None:
    contents = files(sample)
    read = unpacked(config_drive.image(contents), form, tmp_path)
    assert {path: read[path] for path in contents} == contents


def test_an_image_has_the_label_that_guests_look_for(tmp_path: Path) -> None:
    drive = tmp_path / "drive.iso"
    drive.write_bytes(config_drive.image(files("bare")))
    command = ("blkid", "-p", "-s", "LABEL", "-s", "TYPE", "-o", "value", str(drive))
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.split() == ["config-2", "iso9660"]


@pytest.mark.parametrize("policy", LISTED)
def test_cloud_init_learns_the_same_as_from_the_service(policy: str, tmp_path: Path) -> None:
    for path, body in files("mixed", msgspec.convert({"version_list": policy}, Options)).items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    packages = cloud_init()
    assert packages, "make setup unpacks it"
    said = subprocess.run(
        ("/usr/bin/python3", "-c", _READ, str(tmp_path)),
        env={"PYTHONPATH": str(packages)},
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    uuid, ec2, dedicated = json.loads(said)
    assert uuid == Reader("mixed").guest.uuid
    assert ec2["cpu"]["dedicated"] == "2-3,5-7"
    assert dedicated == ("2-3,5-7" if policy == "newest" else None)
