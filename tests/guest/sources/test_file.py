"""`--source file:PATH`: a document, or a CPU list as it is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdguest import sources, system
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.layout import Layout
from mdguest.system import System

from tests.guest.sources.guest import FakeGuest, as_json

SAID: dict[str, tuple[bytes, str | None]] = {
    "Nova's document": (as_json({"uuid": "u", "dedicated_cpus": [2, 3]}), "2-3"),
    "mdsvc's document": (as_json({"dedicated_cpus": "2-3", "cells": [], "etag": "e"}), "2-3"),
    "pretty": (b'\n {\n "dedicated_cpus": "2-3"\n }\n', "2-3"),
    "none": (b'{"dedicated_cpus": ""}', ""),
    "nothing said": (b"{}", None),
    "a list": (b"2-3", "2-3"),
    "a list and a newline": (b" 2, 3\r\n", "2-3"),
    "one CPU": (b"0", "0"),
    "a list behind a byte order mark": (b"\xef\xbb\xbf2-3\r\n", "2-3"),
    "JSON behind a byte order mark": (b'\xef\xbb\xbf{"dedicated_cpus": "2-3"}', "2-3"),
}


@pytest.mark.parametrize(("data", "cpus"), SAID.values(), ids=SAID)
def test_a_file_says(tmp_path: Path, data: bytes, cpus: str | None) -> None:
    path = tmp_path / "cpus"
    path.write_bytes(data)
    expected = None if cpus is None else CpuSet.parse(cpus)
    assert sources.read(f"file:{path}", System()) == Layout(expected, f"file:{path}")


GARBAGE = (
    b"",
    b" \n",
    b"[2, 3]",
    b'"2-3"',
    b"{",
    b"two",
    b"2\n3",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{}" + b" " * (1 << 20),
)


@pytest.mark.parametrize("data", GARBAGE, ids=[repr(data[:9]) for data in GARBAGE])
def test_garbage_is_bad_input_that_names_the_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cpus"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=f"^{path}: "):
        sources.read(f"file:{path}", System())


@given(st.binary(max_size=50))
@settings(deadline=None)
def test_whatever_is_in_it_is_a_layout_or_bad_input(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        assert sources.read("file:/x", FakeGuest(files={"/x": data})).source == "file:/x"


def test_a_file_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file" / "below"):
        with pytest.raises(Unreachable, match=f"^{path}: no such file"):
            sources.read(f"file:{path}", System())


def test_a_file_that_cannot_be_read_is_unavailable(guest: FakeGuest) -> None:
    guest.files["/x"] = PermissionError(13, "Permission denied")
    with pytest.raises(Unavailable, match=r"^/x: Permission denied$"):
        sources.read("file:/x", guest)


def test_a_directory_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a file, got a directory"):
        sources.read(f"file:{tmp_path}", System())


def test_an_endless_file_ends() -> None:
    with pytest.raises(BadInput, match="at most 1048576 bytes"):
        sources.read("file:/dev/zero", System())


def test_a_pipe_that_nobody_writes_to_is_not_waited_on_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "WAIT", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unavailable, match=f"^{tmp_path}/pipe: nobody wrote to it to its end"):
        sources.read(f"file:{tmp_path}/pipe", System())


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=("2-3\n",))
    writer.start()
    assert sources.read(f"file:{pipe}", System()).dedicated == CpuSet.parse("2-3")
    writer.join()
