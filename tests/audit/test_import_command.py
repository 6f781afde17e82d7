"""`mdsvc instance import`: guests that run, taken into the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.fleets import domain
from tests.cli.command import Mdsvc
from tests.strategies import grid

HOST = grid(2, 4, threads=2, shared=1)


@pytest.fixture
def registered(mdsvc: Mdsvc) -> Mdsvc:
    assert mdsvc("host", "add", "-", stdin=HOST).code == 0
    return mdsvc


def files(at: Path, *domains: str) -> list[str]:
    names = []
    for number, xml in enumerate(domains):
        file = at / f"{number}.xml"
        file.write_text(xml)
        names.append(str(file))
    return names


def test_several_after_one_option_or_an_option_each(registered: Mdsvc, tmp_path: Path) -> None:
    one, two, three = files(tmp_path, domain("a", "2"), domain("b", "3"), domain("c", "4"))
    first = registered("instance", "import", "--domain", one, "--domain", two, "--json")
    assert [each["name"] for each in first.json] == ["a", "b"]
    again = registered("instance", "import", "--host", "h1", "--domain", one, two, three, "--json")
    assert [(each["name"], each["generation"]) for each in again.json] == [
        ("a", 1),
        ("b", 1),
        ("c", 1),
    ]
    assert [line.split()[1] for line in again.err.splitlines()] == [
        "unchanged",
        "unchanged",
        "imported",
    ]
    listed = registered("instance", "list", "--json").json
    assert [each["layout"]["dedicated_cpus"] for each in listed] == ["0", "0", "0"]


def test_a_domain_on_stdin(registered: Mdsvc) -> None:
    done = registered("instance", "import", "--domain", "-", stdin=domain("a", "2").encode())
    assert (done.code, "a" in done.out) == (0, True)


def test_what_contradicts_the_books_is_exit_3_and_nothing_is_stored(
    registered: Mdsvc, tmp_path: Path
) -> None:
    names = files(tmp_path, domain("a", "2"), domain("b", "2"))
    done = registered("instance", "import", "--domain", *names)
    assert (done.code, done.out) == (3, "")
    assert "a (" in done.err
    assert "b (" in done.err
    assert registered("instance", "list", "--json").json == []


def test_what_is_no_domain_is_exit_2_and_named(registered: Mdsvc, tmp_path: Path) -> None:
    names = files(tmp_path, domain("a", "2"), "<network/>")
    done = registered("instance", "import", "--domain", *names)
    assert (done.code, done.out) == (2, "")
    assert f"{names[1]}: <network>: expected <domain>" in done.err


def test_a_host_that_is_not_registered_is_exit_4(registered: Mdsvc, tmp_path: Path) -> None:
    names = files(tmp_path, domain("a", "2"))
    assert registered("instance", "import", "--host", "h9", "--domain", *names).code == 4


def test_an_interface_without_an_address_is_told_of(registered: Mdsvc, tmp_path: Path) -> None:
    interface = (
        "<devices><interface type='network'><mac address='52:54:00:aa:00:01'/>"
        "<source network='default'/></interface></devices></domain>"
    )
    (file,) = files(tmp_path, domain("a", "2").replace("</domain>", interface))
    assert (
        "no address on default is known" in registered("instance", "import", "--domain", file).err
    )
    network = tmp_path / "net.xml"
    network.write_text(
        "<network><name>default</name><ip address='192.168.122.1' prefix='24'><dhcp>"
        "<host mac='52:54:00:AA:00:01' name='a' ip='192.168.122.11'/></dhcp></ip></network>"
    )
    done = registered("instance", "import", "--domain", file, "--network", str(network), "--json")
    assert done.json[0]["addresses"][0]["ip"] == "192.168.122.11"
    wrong = registered("instance", "import", "--domain", file, "--network", file)
    assert (wrong.code, "expected <network>" in wrong.err) == (2, True)
