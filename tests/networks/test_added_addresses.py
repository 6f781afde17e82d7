"""The metadata addresses, added to interfaces where that is asked for; and who may do all this."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mdsvc.errors import BadInput
from mdsvc.listening.namespace import Wanted
from mdsvc.listening.namespaces import check_allowed
from tests.cli.command import MDSVC, environment
from tests.http.fakes import FakeStore
from tests.networks.cloud import IPV4, IPV6, MAC, Cloud, answered, ask, batch, ip
from tests.networks.conftest import Listen, known, needs_root, served

pytestmark = needs_root

ONE = MAC.format(1)


async def test_addresses_are_added_where_that_is_asked_for_and_taken_along(
    cloud: Cloud, listen: Listen
) -> None:
    namespace = cloud.network("net-a", with_address=False)
    batch(namespace, "link add other type bridge", "link set other up")
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    await listen(FakeStore(known("one", ("net-a", "10.0.0.5", ONE))), netns_add_addresses="br*")
    for host in (IPV4, IPV6):
        assert (await ask(guest, host)).text == "one.novalocal"
    assert "a9fe" not in ip(namespace, "address", "show", "other")
    batch(namespace, f"address delete {IPV4}/32 dev br0", f"address delete {IPV6}/64 dev br0")
    for host in (IPV4, IPV6):
        await answered(guest, "one.novalocal", host)


async def test_what_others_have_added_stays(cloud: Cloud, listen: Listen) -> None:
    namespace = cloud.network("net-a", with_address=False)
    batch(namespace, f"address add {IPV4}/32 dev br0")
    async with served(cloud, FakeStore(), netns_add_addresses="*"):
        assert IPV6 in ip(namespace, "address")
    assert IPV6 not in ip(namespace, "address")
    assert IPV4 in ip(namespace, "address")


def _addresses(namespace: str) -> list[str]:
    """With their lengths, as 10.0.0.1/24."""
    return [word for word in ip(namespace, "address").split() if word[0].isalnum() and "/" in word]


@contextmanager
def _process(
    cloud: Cloud, *wrapper: str, more: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """The real one, once it is ready."""
    where = ("--store", "memory://", "--operator", "127.0.0.1:0")
    which = ("--netns-prefix", cloud.prefix, "--netns-add-addresses", "*")
    command = [*wrapper, str(MDSVC), "serve", *where, *which, *more]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(), stderr=pipe, text=True) as process:
        try:
            assert process.stderr
            assert any(line == "mdsvc: ready\n" for line in process.stderr)
            yield process
        finally:
            process.kill()  # whatever a test has found: nobody is to wait for it


async def test_at_its_end_nothing_is_left(cloud: Cloud) -> None:
    namespace = cloud.network("net-a", with_address=False)
    before = _addresses(namespace)
    with _process(cloud) as process:
        assert f"{IPV4}/32" in _addresses(namespace)
        process.terminate()
        assert process.wait(20) == 0
    assert _addresses(namespace) == before


async def test_each_worker_follows_them_and_nothing_is_left(cloud: Cloud, tmp_path: Path) -> None:
    """They have listeners of their own, at the same port."""
    namespace = cloud.network("net-a", with_address=False)
    guest = cloud.guest("net-a", "g", ONE, "10.0.0.5")
    before = _addresses(namespace)
    several = ("--workers", "3", "--store", f"sqlite:///{tmp_path}/store.db")
    with _process(cloud, more=several) as process:
        answers = {(await ask(guest, host)).status for host in (IPV4, IPV6) for _ in range(5)}
        process.terminate()
        assert process.wait(20) == 0
    assert answers == {404}
    assert _addresses(namespace) == before


async def test_what_a_killed_server_has_added_the_next_one_takes_along(cloud: Cloud) -> None:
    namespace = cloud.network("net-a", with_address=False)
    before = _addresses(namespace)
    with _process(cloud) as process:
        process.kill()
        process.wait()
    assert f"{IPV4}/32" in _addresses(namespace)
    async with served(cloud, FakeStore(), netns_add_addresses="*"):
        assert f"{IPV4}/32" in _addresses(namespace)
    assert _addresses(namespace) == before


# ---- who may ----


@pytest.mark.parametrize(
    ("kept", "add_to", "missing"),
    [
        (0, None, "CAP_SYS_ADMIN, CAP_NET_BIND_SERVICE"),
        (1 << 21, None, "CAP_NET_BIND_SERVICE"),
        (1 << 10, None, "CAP_SYS_ADMIN"),
        (1 << 21 | 1 << 10, "*", "CAP_NET_ADMIN"),
    ],
)
def test_who_may_not_is_told_what_is_missing(
    tmp_path: Path, kept: int, add_to: str | None, missing: str
) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapEff:\t{kept:016x}\n")
    with pytest.raises(BadInput, match=f"netns: expected root, or the capabilities {missing}$"):
        check_allowed(Wanted(add_to=add_to), status)


async def test_where_there_are_too_many_those_that_are_there_are_answered(cloud: Cloud) -> None:
    """Files are left for that, and for each of the others there is a line that says what to do."""
    cloud.network("a")
    guest = cloud.guest("a", "g", ONE, "10.0.0.5")
    with _process(cloud, "prlimit", "--nofile=320") as process:
        batch("", *(f"netns add {cloud.prefix}n{number}" for number in range(150)))
        assert process.stderr
        told = next(line for line in process.stderr if "ERROR" in line)
        assert "cannot listen: [Errno 24] Too many open files; expected a higher limit" in told
        assert (await ask(guest)).text == "no guest has the address 10.0.0.5"
        process.terminate()
        rest = [line for line in process.stderr if "ERROR" in line]
    assert len(rest) == len({line.partition("namespace ")[2] for line in rest}) < 150


def test_who_may_not_gets_one_line() -> None:
    without = ["setpriv", "--bounding-set=-sys_admin"]
    command = [*without, str(MDSVC), "serve", "--store", "memory://", "--netns", "a=net-a"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    line = "mdsvc: netns: expected root, or the capabilities CAP_SYS_ADMIN\n"
    assert (done.returncode, done.stderr) == (2, line)
