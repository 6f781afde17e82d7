"""A plain libvirt host, with domains that somebody defined by hand: audit, import and hook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdsvc.cpuset import CpuSet
from mdsvc.discovery.sysfs import local_host
from mdsvc.forms import to_json
from mdsvc.hook.notes import notes
from mdsvc.instance import PlacedInstance
from mdsvc.libvirt import domain_xml
from tests.audit.fleets import domain
from tests.cli.command import process
from tests.cli.serving import Serving
from tests.libvirt.daemon import Libvirtd
from tests.libvirt.guests import MIXED, SHARED, placed
from tests.strategies import grid, host_of

HOST = host_of(grid(2, 4, threads=2, shared=1))


@pytest.fixture
def defined(libvirtd: Libvirtd) -> Iterator[Libvirtd]:
    """The libvirtd, with nothing left in it afterwards."""
    yield libvirtd
    for name in libvirtd.ask("list --all --name").split():
        libvirtd.virsh(f"destroy {name}")
        libvirtd.virsh(f"undefine {name}")
    assert libvirtd.ask("list --all --name").split() == []


def define(libvirtd: Libvirtd, folder: Path, **domains: str) -> None:
    for name, xml in domains.items():
        file = folder / f"{name}.xml"
        file.write_text(
            xml.replace("type='kvm'", "type='qemu'").replace("<cputune>", f"{OS}<cputune>")
        )
        libvirtd.ask(f"define {file}")


OS = "<os><type arch='x86_64' machine='q35'>hvm</type></os>"


@pytest.fixture
def host_file(tmp_path: Path) -> Path:
    file = tmp_path / "h1.json"
    file.write_bytes(to_json(HOST))
    return file


def audited(libvirtd: Libvirtd, *args: str) -> tuple[int, list[tuple[str, tuple[str, ...]]]]:
    done = process("audit", "--libvirt", libvirtd.uri, *args, "--json")
    findings = json.loads(done.out)["findings"] if done.code in (0, 3) else []
    assert done.code in (0, 3), done.err
    return done.code, [(each["code"], tuple(each["guests"])) for each in findings]


def test_an_audit_of_domains_that_were_defined_by_hand(
    defined: Libvirtd, tmp_path: Path, host_file: Path
) -> None:
    define(defined, tmp_path, a=domain("a", "2", "3"), b=domain("b", "0-1", emulator="0-1"))
    assert audited(defined, "--host", str(host_file)) == (0, [])
    define(defined, tmp_path, c=domain("c", "3", emulator="0-3"))
    code, findings = audited(defined, "--host", str(host_file))
    assert code == 3
    assert {("pinned_twice", ("a", "c")), ("dedicated_not_alone", ("a", "c"))} <= {
        (fault, tuple(sorted(guests))) for fault, guests in findings
    }


def test_an_audit_without_a_host_file_asks_libvirt_for_the_cells(defined: Libvirtd) -> None:
    """And finds that a domain has pCPUs which this machine does not."""
    done = process("audit", "--libvirt", defined.uri)
    assert (done.code, done.out) == (0, "")
    assert "its cells are not known" not in done.err


def test_an_audit_of_the_folder_that_libvirtd_keeps_of_what_runs(
    defined: Libvirtd, tmp_path: Path
) -> None:
    """With all else that it keeps there."""
    _, floats, (_, xml) = guests()
    file = tmp_path / "guest.xml"
    file.write_text(xml)
    defined.ask(f"create --paused {file}")
    assert {"autostarted", "driver.pid"} <= {path.name for path in defined.status.iterdir()}
    done = process("audit", "--domains", str(defined.status), "--local")
    assert (done.code, done.out) == (0, "")
    assert "1 guest on 1 host looked at" in done.err
    defined.ask(f"destroy {floats.uuid}")
    assert "0 guests" in process("audit", "--domains", str(defined.status), "--local").err


def test_an_audit_of_a_libvirt_that_is_not_there(tmp_path: Path) -> None:
    done = process("audit", "--libvirt", f"qemu+unix:///system?socket={tmp_path}/none")
    assert (done.code, done.out) == (1, "")
    assert "Failed to connect" in done.err


def test_an_audit_changes_nothing(defined: Libvirtd, tmp_path: Path, host_file: Path) -> None:
    define(defined, tmp_path, a=domain("a", "2", "2"))
    before = defined.ask("dumpxml a")
    audited(defined, "--host", str(host_file))
    assert defined.ask("dumpxml a") == before


def test_what_libvirt_gives_back_is_imported_as_it_was_defined(
    defined: Libvirtd, tmp_path: Path, host_file: Path
) -> None:
    define(defined, tmp_path, a=domain("a", "2", "3"), b=domain("b", "4", "0-1", emulator="0-1"))
    store = f"sqlite:///{tmp_path}/store.db"
    assert process("host", "add", str(host_file), MDSVC_STORE=store).code == 0
    dumps = [tmp_path / f"{name}.dump" for name in ("a", "b")]
    for dump in dumps:
        dump.write_text(defined.ask(f"dumpxml {dump.stem}"))
    files = [str(dump) for dump in dumps]
    done = process("instance", "import", "--domain", *files, "--json", MDSVC_STORE=store)
    assert done.code == 0, done.err
    pins = {each["name"]: each["layout"]["cells"][0]["cpu_pinning"] for each in done.json}
    assert pins == {"a": {"0": 2, "1": 3}, "b": {"0": 4}}
    again = process("instance", "import", "--domain", *files, MDSVC_STORE=store)
    assert again.err.count("unchanged") == 2


EXAMPLES = sorted((Path(__file__).parents[2] / "docs/examples/libvirt").glob("*.xml"))


def test_the_guests_of_the_tutorial_are_well_placed_and_come_into_the_store(
    defined: Libvirtd, tmp_path: Path
) -> None:
    """On the host that it has, by what libvirt makes of its domains."""
    eight = host_of(grid(1, 8, shared=2, name="here"))
    host, dumps = tmp_path / "here.json", []
    host.write_bytes(to_json(eight))
    for example in EXAMPLES:
        file = tmp_path / example.name
        file.write_text(example.read_text().replace('type="kvm"', 'type="qemu"').replace(MODEL, ""))
        defined.ask(f"define --validate {file}")
        dumps.append(tmp_path / f"{example.stem}.dump")
        dumps[-1].write_text(defined.ask(f"dumpxml {example.stem}"))
    assert audited(defined, "--host", str(host)) == (0, [])
    store = f"sqlite:///{tmp_path}/store.db"
    assert process("host", "add", str(host), MDSVC_STORE=store).code == 0
    files = [str(dump) for dump in dumps]
    done = process("instance", "import", "--domain", *files, "--json", MDSVC_STORE=store)
    dedicated = {each["name"]: each["layout"]["dedicated_cpus"] for each in done.json}
    assert dedicated == {"web": "", "db": "1-3", "dpdk": "1-2"}
    shown = process("host", "show", "here", "--json", MDSVC_STORE=store)
    host.write_text(shown.out)
    assert audited(defined, "--host", str(host)) == (0, [])


MODEL = '<cpu mode="host-model" />'


# ---- guests that start and end ----


def this_host() -> tuple[CpuSet, CpuSet]:
    """A pCPU to share of this machine, and one to give away, near to one another."""
    near = max(local_host("h1").host.cells, key=lambda cell: len(cell.cpus)).cpus
    assert len(near) > 1, "expected a machine with two CPUs that are near to one another"
    first, second = list(near)[:2]
    return CpuSet.of([first]), CpuSet.of([second])


def guests() -> tuple[PlacedInstance, PlacedInstance, list[str]]:
    on = local_host("h1", *this_host()).host
    flavor = {"vcpus": 2, "memory_mb": 64, "extra_specs": {**MIXED, "hw:cpu_dedicated_mask": "1"}}
    mixed = placed(MIXED, on, name="mixed", flavor=flavor)
    floats = placed(SHARED, on, name="floats", flavor={"vcpus": 1, "memory_mb": 64})
    return mixed, floats, [domain_xml(mixed, on, "qemu"), domain_xml(floats, on, "qemu")]


@pytest.mark.parametrize("where", ["store", "server"])
def test_guests_come_into_the_store_as_they_start_and_go_as_they_end(
    defined: Libvirtd, tmp_path: Path, where: str
) -> None:
    """And so does a store that only a server can open."""
    url = f"sqlite:///{tmp_path}/store.db"
    if where == "store":
        as_they_start_and_end(defined, tmp_path, {"MDSVC_STORE": url})
        return
    serving = Serving(url)
    try:
        as_they_start_and_end(defined, tmp_path, {"MDSVC_SERVER": serving.url})
    finally:
        serving.stop()


def as_they_start_and_end(defined: Libvirtd, tmp_path: Path, books: dict[str, str]) -> None:
    on = local_host("h1", *this_host()).host
    mixed, floats, domains = guests()
    for guest, xml in zip((mixed, floats), domains, strict=True):
        (tmp_path / f"{guest.uuid}.xml").write_text(xml)
        defined.ask(f"create --paused {tmp_path}/{guest.uuid}.xml")
    host_file = tmp_path / "here.json"
    host_file.write_bytes(to_json(on.without_use()))
    assert process("host", "add", str(host_file), **books).code == 0
    carried_out(defined, tmp_path, books)
    listed = process("instance", "list", "--json", **books).json
    assert {each["uuid"]: each["layout"]["dedicated_cpus"] for each in listed} == {
        mixed.uuid: "1",
        floats.uuid: "",
    }
    code, findings = audited(defined, "--host", str(host_file))
    assert (code, findings) == (0, [])
    defined.ask(f"destroy {mixed.uuid}")
    carried_out(defined, tmp_path, books)
    listed = process("instance", "list", "--json", **books).json
    assert [each["uuid"] for each in listed] == [floats.uuid]


def carried_out(libvirtd: Libvirtd, folder: Path, books: dict[str, str]) -> None:
    """By the command, on what the hook has left; nothing is refused."""
    assert notes(libvirtd.spool)
    done = process(
        *("hook", "run", "--host", "h1", "--spool", str(libvirtd.spool)),
        *("--networks", str(folder / "none")),
        **books,
    )
    assert (done.code, "nothing is imported" in done.err) == (0, False), done.err
    assert notes(libvirtd.spool) == []


def test_a_guest_starts_where_the_hook_can_do_nothing(defined: Libvirtd, tmp_path: Path) -> None:
    mixed, _, (xml, _) = guests()
    file = tmp_path / "guest.xml"
    file.write_text(xml)
    moved = defined.spool.with_name("elsewhere")
    if defined.spool.exists():
        defined.spool.rename(moved)
    defined.spool.write_text("a file where a folder is expected")
    try:
        defined.ask(f"create --paused {file}")
        assert defined.ask("list --name").split() == [mixed.uuid]
        defined.ask(f"destroy {mixed.uuid}")
    finally:
        defined.spool.unlink()
