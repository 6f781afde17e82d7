"""Debian's cloud-init, unchanged, finds our config drive, and learns as from the server."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mdsvc.documents import Documents, config_drive
from mdsvc.instance import File, PlacedInstance
from mdsvc.versions import Options
from tests.golden.documents import Reader

READ = str(Path(__file__).with_name("read_drive.py"))
PARTS = {"one": {"said": "so"}, "cloud-init": "#cloud-config\n"}


def guest(motd: Path, **more: Any) -> PlacedInstance:
    files = (File(str(motd), "Welcome, é\n"),)
    return replace(Reader("mixed").guest, files=files, **more)


def served(guest: PlacedInstance, policy: str) -> tuple[Documents, dict[str, bytes]]:
    options = Options(version_list=policy, vendor_data={"ours": 1})  # type: ignore[arg-type]
    documents = Documents(options, lambda size: b"x" * size)
    return documents, dict(config_drive.files(guest, documents, PARTS))


@contextmanager
def attached(drive: Path, seed: Path) -> Iterator[None]:
    """As a disk; where the kernel here cannot mount one, as the folder that stands for it."""
    if "iso9660" not in Path("/proc/filesystems").read_text():
        unpack(drive, seed / "config_drive")
        yield
        return
    command = ("losetup", "--find", "--show", "--read-only", str(drive))
    loop = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    try:
        yield
    finally:
        subprocess.run(["losetup", "--detach", loop.strip()], check=True, timeout=60)


def unpack(drive: Path, folder: Path) -> None:
    """By isoinfo, with the names of Rock Ridge, as the kernel has them."""

    def isoinfo(*arguments: str) -> bytes:
        command = ("isoinfo", "-R", "-i", str(drive), *arguments)
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

    listing = isoinfo("-l").decode()
    for directory in re.split(r"Directory listing of ", listing)[1:]:
        where, *lines = directory.splitlines()
        for line in lines:
            if line.startswith("-"):
                path = f"{where.strip()}{line.split()[-1]}"
                file = folder / path.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(isoinfo("-x", path))


def read(contents: dict[str, bytes], packages: Path, folder: Path) -> Any:
    drive = folder / "drive.iso"
    drive.write_bytes(config_drive.image(contents))
    with attached(drive, folder / "seed"):
        done = subprocess.run(
            ["unshare", "--mount", "/usr/bin/python3", "-P", READ, str(folder / "seed")],
            env={**os.environ, "PYTHONPATH": str(packages), "TMPDIR": str(folder)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("policy", ["nova", "newest"])
def test_it_learns_the_same_as_from_the_server(policy: str, packages: Path, tmp_path: Path) -> None:
    motd = tmp_path / "motd"
    placed = guest(motd, generation=7)
    documents, contents = served(placed, policy)
    learned = read(contents, packages, tmp_path)

    version = "2018-08-27" if policy == "nova" else "latest"
    answer = documents.find(placed, ("openstack", version, "meta_data.json"))
    assert answer
    meta_data = json.loads(answer.reply(documents.entropy))
    assert learned["instance_id"] == placed.uuid
    assert learned["public_ssh_keys"] == list(meta_data["public_keys"].values())
    assert learned["meta_data"].get("dedicated_cpus") == meta_data.get("dedicated_cpus")
    assert learned["ec2"]["cpu"] == {"dedicated": "2-3,5-7", "shared": "0-1,4", "generation": "7"}
    assert isinstance(placed.user_data, str)
    assert base64.b64decode(learned["user_data"]) == placed.user_data.encode()
    assert learned["network_data"] == json.loads(contents["openstack/latest/network_data.json"])
    assert learned["vendor_data2"] == {"static": {"ours": 1}, **PARTS}
    assert motd.read_text() == "Welcome, é\n"
    assert json.loads(contents["mdsvc/v1/layout"])["generation"] == 7


def test_user_data_that_is_no_text_comes_byte_for_byte(packages: Path, tmp_path: Path) -> None:
    data = Reader("devices").body("/latest/user-data")
    placed = replace(guest(tmp_path / "motd"), user_data=Reader("devices").guest.user_data)
    _, contents = served(placed, "nova")
    learned = read(contents, packages, tmp_path)
    assert base64.b64decode(learned["user_data"]) == data
