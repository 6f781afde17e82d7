"""A guest's metadata, written as a disk."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import Mdsvc
from tests.cli.values import OTHER_UUID, UUID
from tests.vendordata.target import FakeTarget

DRIVE = ("instance", "config-drive")


def layout(image: Path) -> str:
    return on(image, "/mdsvc/v1/layout")


def on(image: Path, path: str) -> str:
    command = ("isoinfo", "-R", "-i", str(image), "-x", path)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_it_says_what_it_has_written_and_of_which_generation(
    with_guest: Mdsvc, tmp_path: Path
) -> None:
    drive = tmp_path / "drive.iso"
    done = with_guest(*DRIVE, UUID, "-o", str(drive), "--json")
    assert done.json == {"uuid": UUID, "generation": 1, "file": str(drive)}
    assert '"generation":1' in layout(drive)


def test_an_older_drive_is_replaced_as_a_whole(with_guest: Mdsvc, tmp_path: Path) -> None:
    drive = tmp_path / "drive.iso"
    drive.write_bytes(b"x" * 2_000_000)
    assert with_guest(*DRIVE, UUID, "-o", str(drive)).code == 0
    assert '"dedicated_cpus"' in layout(drive)
    assert [file.name for file in tmp_path.glob("drive*")] == ["drive.iso"]


def test_a_new_drive_is_for_its_owner_alone_and_one_that_is_replaced_stays_whose_it_is(
    with_guest: Mdsvc, tmp_path: Path
) -> None:
    """User data are on it; a machine's user has been let in by whoever set it up."""
    drive, link = tmp_path / "drive.iso", tmp_path / "link.iso"
    link.symlink_to(drive)
    assert with_guest(*DRIVE, UUID, "-o", str(link)).code == 0
    assert link.is_symlink()
    assert drive.stat().st_mode & 0o777 == 0o600
    drive.chmod(0o640)
    owner = (4242, 4242) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(drive, *owner)
    assert with_guest(*DRIVE, UUID, "-o", str(drive)).code == 0
    after = drive.stat()
    assert (after.st_mode & 0o777, after.st_uid, after.st_gid) == (0o640, *owner)


def test_settings_of_the_documents_are_those_of_the_server(
    with_guest: Mdsvc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor_data = tmp_path / "vendor.json"
    vendor_data.write_text("{")
    config = tmp_path / "mdsvc.toml"
    config.write_text(f'vendor_data = "{vendor_data}"')
    monkeypatch.setenv("MDSVC_CONFIG", str(config))
    done = with_guest(*DRIVE, UUID, "-o", str(tmp_path / "x"))
    assert (done.code, done.err.startswith("mdsvc: vendor_data:")) == (2, True)


async def test_vendor_data_of_services_is_on_it_as_it_is_served(
    with_guest: Mdsvc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await FakeTarget().start()
    monkeypatch.setenv("MDSVC_VENDORDATA_DYNAMIC_TARGETS", f"one@{one.url}/")
    drive = tmp_path / "drive.iso"
    done = await asyncio.to_thread(with_guest, *DRIVE, UUID, "-o", str(drive))
    await one.stop()
    assert done.code == 0
    for version in ("2016-10-06", "latest"):
        path = f"/openstack/{version}/vendor_data2.json"
        assert on(drive, path) == '{"static":{},"one":{"said":"so"}}'
    assert one.count == 1


def test_what_cannot_be_written_is_named(with_guest: Mdsvc, tmp_path: Path) -> None:
    missing = tmp_path / "none" / "drive.iso"
    done = with_guest(*DRIVE, UUID, "-o", str(missing))
    assert (done.code, str(missing) in done.err) == (2, True)


def test_links_that_lead_in_a_circle_are_named_and_stay(with_guest: Mdsvc, tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    done = with_guest(*DRIVE, UUID, "-o", str(circle))
    assert (done.code, done.err) == (2, f"mdsvc: -o: {circle}: Too many levels of symbolic links\n")
    assert circle.is_symlink()


def test_a_file_may_have_a_name_that_is_no_utf_8(with_guest: Mdsvc, tmp_path: Path) -> None:
    drive = tmp_path / os.fsdecode(b"\xff.iso")
    done = with_guest(*DRIVE, UUID, "-o", str(drive), "--json")
    assert (done.code, done.json["file"]) == (0, str(drive))
    assert drive.exists()


def test_a_guest_that_is_not_there_leaves_no_file(with_guest: Mdsvc, tmp_path: Path) -> None:
    drive = tmp_path / "drive.iso"
    assert with_guest(*DRIVE, OTHER_UUID, "-o", str(drive)).code == 4
    assert not drive.exists()
