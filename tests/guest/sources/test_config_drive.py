"""The config drive: found by its label, read where it is mounted, or from a mount of its own."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from mdguest import sources
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.layout import Layout
from mdguest.system import Ran, System

from tests.guest.sources.guest import META_DATA, FakeGuest

LINK = "/dev/disk/by-label/"
DOCUMENT = b'{"uuid": "u", "dedicated_cpus": [2, 3]}'
CPUS = CpuSet.parse("2-3")

# ---- finding it ----


def mounts(data: bytes, status: int = 0, err: str = "") -> Callable[..., Ran]:
    """A shell that has read this from a drive."""
    return lambda *_command: Ran(status, base64.encodebytes(data).decode().rstrip("\n"), err)


def blkid(devices: dict[str, str]) -> Callable[..., Ran]:
    """Knows devices by their labels."""

    def it(*command: str) -> Ran:
        label = command[command.index("-t") + 1].partition("=")[2]
        assert command[1:3] == ("-c", "/dev/null")
        return Ran(0 if label in devices else 2, devices.get(label, ""), "")

    return it


@pytest.mark.parametrize("label", ["config-2", "CONFIG-2"])
def test_udev_s_link_by_label_is_used(guest: FakeGuest, label: str) -> None:
    guest.files[LINK + label] = b""
    guest.programs["unshare"] = mounts(DOCUMENT)
    assert sources.read("config-drive", guest) == Layout(CPUS, f"config-drive:{LINK}{label}")
    assert [command[0] for command in guest.ran] == ["unshare"]


@pytest.mark.parametrize("label", ["config-2", "CONFIG-2"])
def test_without_a_link_blkid_is_asked(guest: FakeGuest, label: str) -> None:
    guest.files["/dev/sr0"] = b""
    guest.programs["blkid"] = blkid({label: "/tmp/seen.iso\n/dev/sr0\n/dev/sr1"})
    guest.programs["unshare"] = mounts(DOCUMENT)
    assert sources.read("config-drive", guest) == Layout(CPUS, "config-drive:/dev/sr0")


def test_without_a_label_it_is_unreachable(guest: FakeGuest) -> None:
    message = "^no device has the label config-2$"
    with pytest.raises(Unreachable, match=message):
        sources.read("config-drive", guest)
    guest.programs["blkid"] = blkid({"cidata": "/dev/sr0"})
    with pytest.raises(Unreachable, match=message) as caught:
        sources.read("config-drive", guest)
    assert not isinstance(caught.value, Unavailable)


def test_a_device_that_is_not_there_is_unreachable(guest: FakeGuest) -> None:
    message = "^/dev/sr7: no such device, image or directory$"
    with pytest.raises(Unreachable, match=message):
        sources.read("config-drive:/dev/sr7", guest)


# ---- where it is mounted ----


@pytest.mark.parametrize("point", ["/media/drive", "/media/my drive"])
def test_a_drive_that_is_mounted_is_read_there(guest: FakeGuest, point: str) -> None:
    escaped = point.replace(" ", "\\040")
    lines = [
        "proc /proc proc rw 0 0",
        "/dev/sda1 / ext4 rw 0 0",
        f"/dev/sr0 {escaped} iso9660 ro 0 0",
    ]
    guest.files = {
        "/dev/sr0": b"",
        "/proc/self/mounts": "\n".join(lines).encode(),
        f"{point}/{META_DATA}": DOCUMENT,
    }
    assert sources.read("config-drive:/dev/sr0", guest).dedicated == CPUS
    assert guest.ran == []


def test_a_directory_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / META_DATA).parent.mkdir(parents=True)
    (tmp_path / META_DATA).write_bytes(DOCUMENT)
    choice = f"config-drive:{tmp_path}"
    assert sources.read(choice, System()) == Layout(CPUS, choice)
    (tmp_path / META_DATA).write_text('{"uuid": "u"}')
    assert sources.read(choice, System()) == Layout(None, choice)


GARBAGE = (b"", b"[]", b"\xff\xfe", b'{"dedicated_cpus": true}', b" " * (1 << 20) + b"{}")


@pytest.mark.parametrize("data", GARBAGE, ids=[repr(data[:9]) for data in GARBAGE])
def test_garbage_is_bad_input_that_names_the_drive(
    tmp_path: Path, guest: FakeGuest, data: bytes
) -> None:
    (tmp_path / META_DATA).parent.mkdir(parents=True)
    (tmp_path / META_DATA).write_bytes(data)
    with pytest.raises(BadInput, match=f"^{tmp_path}"):
        sources.read(f"config-drive:{tmp_path}", System())
    guest.files["/dev/sr0"] = b""
    guest.programs["unshare"] = mounts(data)
    with pytest.raises(BadInput, match=r"^/dev/sr0, openstack/latest/"):
        sources.read("config-drive:/dev/sr0", guest)


def test_a_drive_without_the_document_is_bad_input(tmp_path: Path, guest: FakeGuest) -> None:
    message = ": expected a config drive, got one without openstack/latest/meta_data.json$"
    with pytest.raises(BadInput, match=f"^{tmp_path}{message}"):
        sources.read(f"config-drive:{tmp_path}", System())
    guest.files["/dev/sr0"] = b""
    guest.programs["unshare"] = mounts(b"", 44)
    with pytest.raises(BadInput, match=f"^/dev/sr0{message}"):
        sources.read("config-drive:/dev/sr0", guest)


def test_a_mounted_document_that_cannot_be_read_is_unavailable(guest: FakeGuest) -> None:
    guest.files[f"/media/{META_DATA}"] = OSError(5, "Input/output error")
    with pytest.raises(Unavailable, match="Input/output error"):
        sources.read("config-drive:/media", guest)


@pytest.mark.parametrize("status", [1, 32, 124, 127])
def test_a_drive_that_cannot_be_mounted_is_unavailable(guest: FakeGuest, status: int) -> None:
    guest.files["/dev/sr0"] = b""
    guest.programs["unshare"] = mounts(b"", status, "mount: /run: must be\nsuperuser.")
    with pytest.raises(Unavailable) as caught:
        sources.read("config-drive:/dev/sr0", guest)
    said = "mount: /run: must be superuser."
    assert str(caught.value) == f"/dev/sr0 is there, but cannot be read: '{said}'"


# ---- the script itself, with a mount that has a directory for each image ----

MOUNT = """#!/bin/sh
echo "$@" >> log
[ "$2" = {kind} ] || {{ echo "mount: $7: wrong fs type" >&2; exit 32; }}
exec {mount} --bind drive "$7"
"""
HEAD = """#!/bin/sh
cat /proc/{pid}/mounts > seen
exec {head} "$@"
"""
OPTIONS = "-o ro,nosuid,nodev,noexec,loop -- image /run"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where programs run, and an image of what is in ``drive``."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces need root")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "drive" / META_DATA).parent.mkdir(parents=True)
    (tmp_path / "drive" / META_DATA).write_bytes(DOCUMENT)
    (tmp_path / "image").touch()
    return tmp_path


def program(path: Path, text: str, **names: object) -> None:
    names[path.name] = System().which(path.name)
    path.write_text(text.format(**names))
    path.chmod(0o755)


@pytest.mark.parametrize("kind", ["iso9660", "vfat"])
def test_either_type_is_mounted_read_only(here: Path, kind: str) -> None:
    program(here / "mount", MOUNT, kind=kind)
    assert sources.read("config-drive:image", System()).dedicated == CPUS
    types = ["iso9660"] if kind == "iso9660" else ["iso9660", "vfat"]
    assert (here / "log").read_text().splitlines() == [f"-t {kind} {OPTIONS}" for kind in types]


def test_no_other_type_is_mounted(here: Path) -> None:
    program(here / "mount", MOUNT, kind="ext4")
    with pytest.raises(Unavailable, match="mount: /run: wrong fs type"):
        sources.read("config-drive:image", System())


def test_nobody_else_sees_the_mount_nor_is_any_left(here: Path) -> None:
    before = Path("/proc/self/mounts").read_text()
    program(here / "mount", MOUNT, kind="vfat")
    program(here / "head", HEAD, pid=os.getpid())
    sources.read("config-drive:image", System())
    assert (here / "seen").read_text() == before == Path("/proc/self/mounts").read_text()


def test_what_is_on_the_image_is_read_within_limits(here: Path) -> None:
    program(here / "mount", MOUNT, kind="vfat")
    (here / "drive" / META_DATA).write_bytes(b" " * (2 << 20))
    with pytest.raises(BadInput, match=r"^image, .*: expected at most 1048576 bytes$"):
        sources.read("config-drive:image", System())
    (here / "drive" / META_DATA).write_bytes(b"\xff\0")
    with pytest.raises(BadInput, match=r"^image, .* not UTF-8"):
        sources.read("config-drive:image", System())
    (here / "drive" / META_DATA).unlink()
    with pytest.raises(BadInput, match=r"^image: expected a config drive, got one without"):
        sources.read("config-drive:image", System())


def test_a_name_is_never_an_option(here: Path) -> None:
    program(here / "mount", MOUNT, kind="vfat")
    (here / "--bind").touch()
    assert sources.read("config-drive:--bind", System()).dedicated == CPUS


def test_where_there_is_no_such_thing_as_a_mount_namespace_nothing_is_mounted(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(here / "mount", MOUNT, kind="vfat")
    program(here / "unshare", "#!/bin/sh\necho unshare: no >&2\nexit 1\n")
    with pytest.raises(Unavailable, match="unshare: no"):
        sources.read("config-drive:image", System())
    assert not (here / "log").exists()
