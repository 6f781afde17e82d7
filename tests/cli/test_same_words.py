"""What is refused is refused by a server as in a store: the same exit code, in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli import test_bad_input, test_refused
from tests.cli.command import Mdsvc
from tests.cli.serving import Serving
from tests.cli.values import UUID, flavor, guest, host, plain

Command = tuple[tuple[str, ...], object]

LONG = 9000
"""Characters: more than fit into the first line of a request."""

NAMES: tuple[str, ...] = (
    *("", " ", ".", "..", "/", "a/b", "a b", "é", "%", "%2F", "%00", "?", "a?b=c", "#", "a+b"),
    *("h1\n", "h1 ", "H1", "a\0b", "\\", "*", "x" * 256, "x" * LONG, "\udcff", "{h1}", "h1"),
    *(UUID.upper(), UUID + "0", "{" + UUID + "}", UUID.replace("-", ""), f"urn:uuid:{UUID}"),
)
"""Of hosts and of guests. What none can have is not found as an argument, and bad usage as an
option.
"""

ONE = flavor(1, 64, {})


def _with(name: str) -> Iterator[Command]:
    for command in ("show", "drain"):
        yield ("host", command, name), b""
    for more in ("--undo", "--move"):
        yield ("host", "drain", more, name), b""
    for command in ("show", "xml", "password", "migrate", "rebuild"):
        yield ("instance", command, name), b""
    yield ("instance", "password", "--clear", name), b""
    yield ("instance", "lock", name), b""
    yield ("instance", "lock", "--undo", name), b""
    yield ("instance", "rebuild", "--user-data", "-", name), b"#!/bin/sh\n"
    yield ("instance", "resize", "--flavor", "-", name), flavor(0)
    yield ("instance", "resize", "--flavor", "-", name), ONE
    yield ("instance", "config-drive", "-o", "/dev/null/x", name), b""
    yield ("instance", "list", "--host", name), b""
    yield ("instance", "list", "--drifted", "--host", name), b""
    yield ("instance", "migrate", UUID, "--host", name), b""
    yield ("instance", "create", "-", "--host", name), plain(1, flavor=ONE)
    yield ("instance", "create", "-", "--host", name), plain(1, flavor=flavor(0))
    yield ("instance", "import", "--domain", "-", "--host", name), b"<domain/>"
    yield ("host", "add", "-", "--replace"), host(name, cells=[])
    yield ("instance", "delete", name), b""
    yield ("host", "remove", name), b""


def _of(cases: tuple[test_bad_input.Case | test_refused.Case, ...]) -> Iterator[Command]:
    """Each case as it is; and its host described anew, its flavor for a guest that is there."""
    for case in cases:
        yield case.args, case.stdin
        form = case.stdin if isinstance(case.stdin, dict) else {}
        if case.args == test_bad_input.HOST:
            yield ("host", "add", "-", "--replace"), case.stdin
        if "flavor" in form:
            yield ("instance", "resize", UUID, "--flavor", "-"), form["flavor"]
            yield ("instance", "resize", UUID, "--flavor", "-", "--strict"), form["flavor"]
        if "image" in form:
            yield ("instance", "rebuild", UUID, "--image", "-"), form["image"]


BAD = (
    *(*test_bad_input.FORMLESS, *test_bad_input.HOSTS),
    *(*test_bad_input.GUESTS, *test_bad_input.IMPORTS),
)
GROUPS = {
    "names": [command for name in NAMES for command in _with(name)],
    "bad input": list(_of(BAD)),
    "refused": list(_of((*test_refused.REFUSED, *test_refused.MISSING))),
}


@pytest.mark.parametrize("group", GROUPS)
def test_it_is_said_alike(group: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    local = Mdsvc(monkeypatch, f"sqlite:///{tmp_path / 'local.db'}")
    serving = Serving(f"sqlite:///{tmp_path / 'remote.db'}")
    remote = Mdsvc(monkeypatch, local.url, lambda: serving.url)
    try:
        for mdsvc in (local, remote):
            assert mdsvc("host", "add", "-", stdin=host()).code == 0
            assert mdsvc("instance", "create", "-", stdin=guest()).code == 0
        codes = set()
        for args, stdin in GROUPS[group]:
            here, there = local(*args, stdin=stdin), remote(*args, stdin=stdin)
            assert there == here, args
            codes.add(here.code)
    finally:
        serving.stop()
    assert codes & {2, 3, 4}
    assert 1 not in codes


@pytest.mark.parametrize("command", ["list", "migrate", "create", "import"])
def test_an_option_that_no_host_can_be_called_is_bad_usage(with_guest: Mdsvc, command: str) -> None:
    args = {
        "list": (),
        "migrate": (UUID,),
        "create": ("-",),
        "import": ("--domain", "-"),
    }[command]
    done = with_guest("instance", command, *args, "--host", "a b", stdin=guest())
    assert (done.code, done.out) == (2, "")
    assert "Invalid value for '--host': 'a b': expected 1 to 255 of A-Z" in done.err
