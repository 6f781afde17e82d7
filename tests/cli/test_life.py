"""The life of a guest by the command: resized, moved, rebuilt; and a host that is drained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Mdsvc
from tests.cli.values import DEDICATED, UUID, flavor, host, plain

LARGE = flavor(4, 128, DEDICATED)
HUGE = flavor(13, 128, DEDICATED)


def uuid(number: int) -> str:
    found: str = plain(number)["uuid"]
    return found


@pytest.fixture
def two_hosts(with_guest: Mdsvc) -> Mdsvc:
    """The guest is on h1."""
    assert with_guest("host", "add", "-", stdin=host("h2")).code == 0
    return with_guest


def stored(mdsvc: Mdsvc) -> Any:
    """All that is stored."""
    return mdsvc("host", "list", "--json").json, mdsvc("instance", "list", "--json").json


@pytest.mark.parametrize(
    ("args", "stdin", "expected"),
    [
        (["resize", UUID, "--flavor", "-"], LARGE, {"host": "h1"}),
        (["migrate", UUID], b"", {"host": "h2"}),
        (["migrate", UUID, "--host", "h2"], b"", {"host": "h2"}),
        (["rebuild", UUID, "--image", "-"], {"name": "newer"}, {"host": "h1"}),
        (["rebuild", UUID, "--user-data", "-"], b"#!/bin/sh\n", {"user_data": "#!/bin/sh\n"}),
        (["rebuild", UUID, "--user-data", "-"], b"\xff", {"user_data": {"base64": "/w=="}}),
        (["rebuild", UUID], b"", {"host": "h1"}),
    ],
    ids=str,
)
def test_the_stored_guest_is_printed_with_its_layout(
    two_hosts: Mdsvc, args: list[str], stdin: object, expected: dict[str, object]
) -> None:
    done = two_hosts("instance", *args, "--json", stdin=stdin)
    assert (done.code, done.err) == (0, "")
    assert done.json == two_hosts("instance", "show", UUID, "--json").json
    assert done.json["generation"] == 2
    assert done.json["layout"]["dedicated_cpus"]
    assert expected.items() <= done.json.items()


@pytest.mark.parametrize(
    ("args", "stdin"),
    [(["resize", UUID, "--flavor", "-"], LARGE), (["rebuild", UUID, "--user-data", "-"], {})],
    ids=str,
)
def test_stdin_can_be_read_once(two_hosts: Mdsvc, args: list[str], stdin: object) -> None:
    before = stored(two_hosts)
    done = two_hosts("instance", *args, "--image", "-", stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert "-: expected once, as stdin can be read only once" in done.err
    assert stored(two_hosts) == before


def test_people_read_where_it_is_now(two_hosts: Mdsvc) -> None:
    for args in (["resize", UUID, "--flavor", "-"], ["migrate", UUID], ["rebuild", UUID]):
        done = two_hosts("instance", *args, stdin=LARGE)
        assert (done.code, done.err) == (0, "")
        assert "dedicated_cpus           0-3" in done.out


@pytest.mark.parametrize(
    ("args", "stdin", "code", "words"),
    [
        (["resize", UUID, "--flavor", "-"], HUGE, 3, "fits neither on its own host nor on"),
        (["resize", UUID, "--flavor", "-"], {"vcpus": "2"}, 2, "vcpus: expected a whole number"),
        (["resize", UUID, "--flavor", "-"], flavor(2, 64, {"hw:cpu_policy": "x"}), 2, "hw:cpu_p"),
        (["resize", uuid(9), "--flavor", "-"], LARGE, 4, uuid(9)),
        (["resize", UUID, "--flavor", "missing.json"], b"", 2, "missing.json"),
        (["resize", UUID], b"", 2, "--flavor"),
        (["migrate", UUID, "--host", "h1"], b"", 3, "is on it"),
        (["migrate", UUID, "--host", "h9"], b"", 4, "host h9"),
        (["migrate", uuid(9)], b"", 4, uuid(9)),
        (["rebuild", uuid(9)], b"", 4, uuid(9)),
        (["rebuild", UUID, "--image", "-"], {"properties": 1}, 2, "properties: expected"),
        (["rebuild", UUID, "--user-data", "-"], b"x" * 65536, 2, "user_data: expected at most"),
        (["list", "--host", "h9"], b"", 4, "host h9"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_told_in_one_line_and_changes_nothing(
    two_hosts: Mdsvc, args: list[str], stdin: object, code: int, words: str
) -> None:
    before = stored(two_hosts)
    done = two_hosts("instance", *args, stdin=stdin)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert "Traceback" not in done.err
    assert stored(two_hosts) == before


def test_unknown_keys_are_warned_of_or_are_errors(two_hosts: Mdsvc, tmp_path: Path) -> None:
    image = tmp_path / "image.json"
    image.write_text('{"properties": {"hw_cpu_polcy": "x"}}')
    odd = flavor(4, 128, {**DEDICATED, "hw:cpu_polcy": "x"})
    for strict, code in (([], 0), (["--strict"], 2)):
        resized = two_hosts("instance", "resize", UUID, "--flavor", "-", *strict, stdin=odd)
        assert (resized.code, "hw:cpu_polcy" in resized.err) == (code, True)
        rebuilt = two_hosts("instance", "rebuild", UUID, "--image", str(image), *strict)
        assert (rebuilt.code, "hw_cpu_polcy" in rebuilt.err) == (code, True)


def test_a_resize_that_moves_the_guest_says_so(two_hosts: Mdsvc) -> None:
    assert two_hosts("instance", "create", "-", "--host", "h1", stdin=plain(1)).code == 0
    done = two_hosts(
        "instance", "resize", UUID, "--flavor", "-", "--json", stdin=flavor(12, 64, {
            **DEDICATED, "hw:numa_nodes": "2"})
    )  # fmt: skip
    assert (done.code, done.json["host"]) == (0, "h2")
    assert done.err == "mdsvc: it does not fit on host h1, and is on host h2 now\n"
    on_h2 = two_hosts("instance", "list", "--host", "h2", "--json").json
    assert [guest["uuid"] for guest in on_h2] == [UUID]


# ---- draining ----


def test_a_draining_host_is_told_of_wherever_it_is_shown(with_guest: Mdsvc) -> None:
    drained = with_guest("host", "drain", "h1", "--json")
    assert (drained.code, drained.err, drained.json["draining"]) == (0, "", True)
    assert drained.json == with_guest("host", "show", "h1", "--json").json
    assert [drained.json] == with_guest("host", "list", "--json").json
    assert "draining" in with_guest("host", "list").out
    shown = with_guest("host", "show", "h1").out
    for words in ("it takes no new guests", "left to move: 1;", UUID):
        assert words in shown
    refused = with_guest("instance", "create", "-", stdin=plain(1))
    assert (refused.code, "host h1 is draining" in refused.err) == (3, True)
    assert with_guest("instance", "delete", UUID).code == 0
    assert "nothing is left to move" in with_guest("host", "show", "h1").out
    undone = with_guest("host", "drain", "h1", "--undo", "--json")
    assert (undone.code, undone.json["draining"]) == (0, False)
    assert "draining" not in with_guest("host", "list").out + with_guest("host", "show", "h1").out


def test_its_guests_are_moved_and_exit_3_says_that_some_are_left(two_hosts: Mdsvc) -> None:
    assert two_hosts("instance", "create", "-", stdin=plain(2, flavor=LARGE)).code == 0
    done = two_hosts("host", "drain", "h1", "--move", "--json")
    assert done.code == 0
    assert done.json["draining"]
    assert {guest["host"] for guest in done.json["moved"]} == {"h2"}
    assert done.json["left"] == []
    done = two_hosts("host", "drain", "h2", "--move", "--json")
    assert done.code == 3
    assert {guest["uuid"] for guest in done.json["left"]} == {UUID, uuid(2)}
    assert {r["rule"] for guest in done.json["left"] for r in guest["reasons"]} == {"draining"}
    assert f"left dpdk-0 ({UUID}): does not fit on host h1" in done.err
    assert "host h2: 2 of 2 guests are left on it" in done.err


def test_draining_is_kept_by_a_description_that_does_not_say_it(mdsvc: Mdsvc) -> None:
    assert mdsvc("host", "add", "-", stdin=host()).code == 0
    assert mdsvc("host", "drain", "h1").code == 0
    again = mdsvc("host", "add", "-", "--replace", "--json", stdin=host(packing="pack"))
    assert (again.json["draining"], again.json["packing"]) == (True, "pack")
    said = mdsvc("host", "add", "-", "--replace", "--json", stdin=host(draining=False))
    assert not said.json["draining"]


def test_a_host_that_is_not_there_is_not_drained(mdsvc: Mdsvc) -> None:
    for args in ([], ["--move"], ["--undo"]):
        done = mdsvc("host", "drain", "h9", *args)
        assert (done.code, done.out) == (4, "")
    assert mdsvc("host", "drain", "h9", "--move", "--undo").code == 2


# ---- who is told in JSON that something is gone; R17 ----


def test_what_is_removed_is_told_to_programs(with_guest: Mdsvc) -> None:
    gone = with_guest("instance", "delete", UUID.upper(), "--json")
    assert (gone.code, gone.json) == (0, {"uuid": UUID, "deleted": True})
    gone = with_guest("host", "remove", "h1", "--json")
    assert (gone.code, gone.json) == (0, {"name": "h1", "deleted": True})


def test_the_list_says_who_holds_mixed_guests_back(mdsvc: Mdsvc) -> None:
    for name, version in (("h1", 2), ("old-1", 1), ("old-2", 1)):
        assert mdsvc("host", "add", "-", stdin=host(name, service_version=version)).code == 0
    listed = mdsvc("host", "list").out
    rows = {line.split()[0]: line for line in listed.splitlines() if line}
    assert "holds mixed guests back" in rows["old-1"]
    assert "holds mixed guests back" not in rows["h1"]
    words = " ".join(listed.split())  # the last line is folded where the terminal is narrow
    assert "mixed guests are refused: " in words
    assert "old-1 (1), old-2 (1)" in words
    for name in ("old-1", "old-2"):
        assert mdsvc("host", "add", "-", "--replace", stdin=host(name)).code == 0
    assert "mixed" not in mdsvc("host", "list").out
