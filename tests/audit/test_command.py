"""`mdsvc audit`: what it reads, prints, and ends with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.audit.fleets import domain, uuid_of
from tests.cli.command import Mdsvc
from tests.strategies import grid

HOST = grid(2, 4, threads=2, shared=1)
FAULTY = {"a": domain("a", "2", "3"), "b": domain("b", "3", "0-7")}


@pytest.fixture
def host_file(tmp_path: Path) -> Path:
    file = tmp_path / "h1.json"
    file.write_text(json.dumps(HOST))
    return file


def folder(at: Path, domains: dict[str, str]) -> Path:
    at.mkdir(parents=True)
    for name, xml in domains.items():
        (at / f"{name}.xml").write_text(xml)
    return at


def test_a_healthy_fleet_is_silence(mdsvc: Mdsvc, tmp_path: Path, host_file: Path) -> None:
    dumps = folder(tmp_path / "d", {"a": domain("a", "2"), "b": domain("b", "3", "0-1")})
    done = mdsvc("audit", "--domains", str(dumps), "--host", str(host_file))
    assert (done.code, done.out) == (0, "")
    assert done.err == "mdsvc: nothing found: 2 guests on 1 host looked at\n"
    as_json = mdsvc("audit", "--domains", str(dumps), "--host", str(host_file), "--json")
    assert (as_json.code, as_json.json) == (0, {"findings": []})


def test_findings_are_exit_3_and_exactly_these_keys(
    mdsvc: Mdsvc, tmp_path: Path, host_file: Path
) -> None:
    dumps = folder(tmp_path / "d", FAULTY)
    done = mdsvc("audit", "--domains", str(dumps), "--host", str(host_file), "--json")
    assert done.code == 3
    findings = done.json["findings"]
    assert done.json.keys() == {"findings"}
    assert [f["code"] for f in findings] == ["pinned_twice", "dedicated_not_alone", "outside_sets"]
    for finding in findings:
        assert finding.keys() == {"code", "host", "guests", "cpus", "detail", "mend"}
    assert (findings[0]["host"], findings[0]["guests"], findings[0]["cpus"]) == (
        "h1",
        ["a", "b"],
        "3",
    )


def test_what_people_read_fits_a_ticket(mdsvc: Mdsvc, tmp_path: Path, host_file: Path) -> None:
    dumps = folder(tmp_path / "d", FAULTY)
    done = mdsvc("audit", "--domains", str(dumps), "--host", str(host_file))
    assert done.code == 3
    assert max(map(len, done.out.splitlines())) <= 78
    assert "\x1b" not in done.out
    for word in ("pinned_twice", "dedicated_not_alone", "outside_sets", "Mend:", "h1"):
        assert word in done.out


def test_a_file_that_is_no_domain_is_named(mdsvc: Mdsvc, tmp_path: Path) -> None:
    dumps = folder(tmp_path / "d", {"a": domain("a", "2"), "b": "<network/>"})
    done = mdsvc("audit", "--domains", str(dumps), "--json")
    assert (done.code, done.out) == (2, "")
    assert f"{dumps / 'b.xml'}: <network>: expected <domain>" in done.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "expected one of --domains DIR, --libvirt URI and --cloud NAME"),
        (["--domains", "nowhere"], "nowhere: No such file or directory"),
        (["--domains", ".", "--pmd-mask", "xyz"], "--pmd-mask: expected hexadecimal"),
        (["--domains", ".", "--pmd-mask", ""], "--pmd-mask: expected hexadecimal"),
        (["--domains", ".", "--host", "a", "--local"], "expected one of --host and --local"),
        (["--domains", ".", "--nova-conf", "nowhere"], "nowhere: No such file"),
    ],
)
def test_bad_usage_is_exit_2(mdsvc: Mdsvc, args: list[str], says: str) -> None:
    done = mdsvc("audit", *args)
    assert done.code == 2
    assert says in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("text", ["[]7", "7", '{"name": "h"', '{"name": 3}', '[{"name": "h1"}, 3]'])
def test_a_host_that_is_none_is_exit_2_and_named(mdsvc: Mdsvc, tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.json"
    file.write_text(text)
    done = mdsvc("audit", "--domains", str(folder(tmp_path / "d", {})), "--host", str(file))
    assert done.code == 2
    assert str(file) in done.err


def test_the_host_s_sets_come_from_nova_conf_and_what_is_not_known_is_said(
    mdsvc: Mdsvc, tmp_path: Path
) -> None:
    dumps = folder(tmp_path / "d", {"a": domain("a", "2", emulator="0-1"), "b": domain("b", "0-3")})
    conf = tmp_path / "nova.conf"
    conf.write_text("[compute]\ncpu_shared_set = 0-1\ncpu_dedicated_set = 2-3\n")
    done = mdsvc("audit", "--domains", str(dumps), "--nova-conf", str(conf), "--json")
    assert [f["code"] for f in done.json["findings"]] == ["dedicated_not_alone", "outside_sets"]
    assert "siblings and memory are not looked at" in done.err
    assert "sets are not known" not in done.err


def test_pmd_mask_and_command_line_count(mdsvc: Mdsvc, tmp_path: Path, host_file: Path) -> None:
    cmdline = tmp_path / "cmdline"
    cmdline.write_text("quiet isolcpus=1-7\n")
    done = mdsvc(
        *("audit", "--domains", str(folder(tmp_path / "d", {})), "--host", str(host_file)),
        *("--pmd-mask", "0x4", "--cmdline", str(cmdline), "--json"),
    )
    assert [(f["code"], f["cpus"]) for f in done.json["findings"]] == [
        ("pmd_in_sets", "2"),
        ("isolcpus_in_shared_set", "1"),
    ]


def test_sets_that_overlap_in_the_host_s_own_file_are_found(mdsvc: Mdsvc, tmp_path: Path) -> None:
    file = tmp_path / "h1.json"
    file.write_text(json.dumps(HOST | {"cpu_shared_set": "0-2"}))
    done = mdsvc(
        *("audit", "--domains", str(folder(tmp_path / "d", {})), "--host", str(file), "--json")
    )
    assert [(f["code"], f["cpus"]) for f in done.json["findings"]] == [("sets_overlap", "2")]


def test_a_host_whose_folder_has_a_name_that_is_no_utf_8_is_told_of(
    mdsvc: Mdsvc, tmp_path: Path
) -> None:
    name = os.fsdecode(b"h\xff")
    dumps = folder(tmp_path / name, {"a": domain("a", "2"), "b": domain("b", "2")})
    for more, said in (("--json",), f'"host":{json.dumps(name)}'), ((), "pinned_twice on h"):
        done = mdsvc("audit", "--domains", str(dumps), *more)
        assert (done.code, said in done.out) == (3, True), done


def test_a_folder_of_folders_is_a_fleet(mdsvc: Mdsvc, tmp_path: Path) -> None:
    folder(tmp_path / "d/h1", {"a": domain("a", "2")})
    folder(tmp_path / "d/h2", {"a": domain("a", "2"), "b": domain("b", "2")})
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([HOST, HOST | {"name": "h2"}]))
    fleet = str(tmp_path / "d")
    done = mdsvc("audit", "--domains", fleet, "--host", str(hosts), "--json")
    assert [(f["code"], f["host"]) for f in done.json["findings"]] == [("pinned_twice", "h2")]
    hosts.write_text(json.dumps([HOST]))
    lacking = mdsvc("audit", "--domains", fleet, "--host", str(hosts))
    assert (lacking.code, "h2" in lacking.err) == (2, True)


# ---- what is odd ----


def test_the_folder_that_libvirt_has_itself_is_read(mdsvc: Mdsvc, tmp_path: Path) -> None:
    """`/run/libvirt/qemu`: a pid beside each domain, a mark that all were started, and folders of
    other things; `tests/libvirt` has a real one.
    """
    dumps = folder(tmp_path / "qemu", {"a": domain("a", "2")})
    for name in ("a.pid", "driver.pid"):
        (dumps / name).write_text("4242\n")
    (dumps / "autostarted").touch()
    folder(dumps / "channel", {})
    assert "1 guest on 1 host looked at" in mdsvc("audit", "--domains", str(dumps)).err
    (dumps / "a.xml").unlink()
    assert "0 guests on 1 host looked at" in mdsvc("audit", "--domains", str(dumps)).err


def test_one_domain_in_two_files_is_no_two_guests(mdsvc: Mdsvc, tmp_path: Path) -> None:
    """It would look as if both had the same pCPUs. On two hosts it may be on its way."""
    dumps = folder(tmp_path / "d", {"a": domain("a", "2"), "copy": domain("a", "2")})
    done = mdsvc("audit", "--domains", str(dumps))
    assert (done.code, done.out) == (2, "")
    assert f"copy.xml: uuid {uuid_of('a')}: expected each domain once, as in {dumps}" in done.err
    fleet = tmp_path / "fleet"
    for host in ("h1", "h2"):
        folder(fleet / host, {"a": domain("a", "2")})
    assert mdsvc("audit", "--domains", str(fleet)).code == 0


@pytest.mark.parametrize("odd", ["pipe", "nowhere", "loop", "locked"])
def test_a_file_that_cannot_be_read_is_named_and_nobody_is_waited_for(
    mdsvc: Mdsvc, tmp_path: Path, odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumps = folder(tmp_path / "d", {"a": domain("a", "2")})
    file = dumps / "odd.xml"
    if odd == "pipe":
        os.mkfifo(file)
    elif odd == "locked":
        file.touch()
        denied = PermissionError(13, "Permission denied")  # as root, nobody says so
        monkeypatch.setattr(Path, "open", mock(file, denied, Path.open))
    else:
        file.symlink_to({"nowhere": "gone.xml", "loop": "odd.xml"}[odd])
    done = mdsvc("audit", "--domains", str(dumps))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"mdsvc: {file}: ")


def mock(file: Path, error: OSError, plain: Callable[..., Any]) -> Callable[..., Any]:
    """`Path.open`, but for one file."""

    def opened(path: Path, *args: Any, **more: Any) -> Any:
        if path == file:
            raise error
        return plain(path, *args, **more)

    return opened


def test_a_table_names_a_few_of_many_guests_and_json_all(
    mdsvc: Mdsvc, tmp_path: Path, host_file: Path
) -> None:
    many = {f"g{number}": domain(f"g{number}", "0-3", emulator="0-1") for number in range(40)}
    dumps = folder(tmp_path / "d", {"a": domain("a", "2")} | many)
    audit = ("audit", "--domains", str(dumps), "--host", str(host_file))
    done = mdsvc(*audit)
    first = done.out.split("\n\n")[0].splitlines()
    assert "a, g0, g1, g10, g11 and 36" in first[2] + first[3]
    assert len(mdsvc(*audit, "--json").json["findings"][0]["guests"]) == 41


def test_what_is_not_known_is_said_once_for_many_hosts(mdsvc: Mdsvc, tmp_path: Path) -> None:
    for number in range(7):
        folder(tmp_path / f"d/h{number}", {"a": domain("a", "2")})
    said = mdsvc("audit", "--domains", str(tmp_path / "d")).err.splitlines()
    assert said[0].startswith(
        "mdsvc: hosts h0, h1, h2, h3, h4 and 2 more: their sets are not known"
    )
    assert [line.partition(" ")[2][:12] for line in said[1:]] == ["hosts h0, h1", "nothing foun"]


def test_settings_may_be_in_several_files_and_the_wrong_one_is_named(
    mdsvc: Mdsvc, tmp_path: Path
) -> None:
    dumps = folder(tmp_path / "d", {"a": domain("a", "2"), "b": domain("b", "3", "0-1")})
    one, two = tmp_path / "nova.conf", tmp_path / "nova-cpu.conf"
    one.write_text("[compute]\ncpu_shared_set = 0-7,^2-7\ncpu_dedicated_set = 9\n")
    two.write_text("[compute]\ncpu_dedicated_set = 2-15,^8-9\n")
    audit = ("audit", "--domains", str(dumps), "--nova-conf", str(one))
    assert mdsvc(*audit).code == 3
    assert mdsvc(*audit, "--nova-conf", str(two)).code == 0
    two.write_text("cpu_dedicated_set = 2\n")
    done = mdsvc(*audit, "--nova-conf", str(two))
    assert (done.code, f"{two}: expected sections" in done.err) == (2, True)
