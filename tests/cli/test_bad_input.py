"""Bad input is exit 2, one line that names what is wrong, and nothing stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mdsvc.terminal import console
from tests.cli.command import Mdsvc
from tests.cli.conftest import Dump
from tests.cli.values import Json, flavor, guest, host, plain

HOST = ("host", "add", "-")
GUEST = ("instance", "create", "-")
IMPORT = ("host", "import", "new", "--capabilities", "-")


class Case(NamedTuple):
    claim: str
    args: tuple[str, ...]
    stdin: object
    names: str


def _each(*values: object) -> tuple[object, ...]:
    return values


def _without(form: Json, name: str) -> Json:
    return {key: value for key, value in form.items() if key != name}


def _host(**fields: Any) -> Json:
    return host("new", **fields)


def _cell(**fields: Any) -> Json:
    """The host with something else in its first cell."""
    first, *others = host()["cells"]
    return _host(cells=[{**first, **fields}, *others])


def _flavor(**fields: Any) -> Json:
    return plain(1, flavor={**flavor(), **fields})


def _specs(extra_specs: Json) -> Json:
    return plain(1, flavor=flavor(8, 512, extra_specs))


def _address(**fields: Any) -> Json:
    return plain(1, addresses=[{"network": "n", "ip": "10.0.0.9", **fields}])


def _xml(text: str) -> bytes:
    return f"<capabilities><host><topology>{text}</topology></host></capabilities>".encode()


GARBAGE = {
    "nothing": b"",
    "blanks": b" \n\t ",
    "binary": bytes(range(256)),
    "NUL": b"\0",
    "a document and a NUL": b"{}\0",
    "half a document": b'{"name": "h',
    "two documents": b"{} {}",
    "UTF-16": json.dumps(host()).encode("utf-16"),
    "Latin-1": '{"name": "é"}'.encode("latin-1"),
    "NaN": b'{"name": NaN}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "ten thousand brackets": b"[" * 10_000,
    "deep nesting": b'{"name": ' + b"[" * 500 + b"]" * 500 + b"}",
}

FORMLESS = (
    *(Case(f"{name} is no JSON", args, data, "JSON")
      for args in (HOST, GUEST) for name, data in GARBAGE.items()),
    *(Case(f"{name} is no XML", IMPORT, data, "expected XML") for name, data in GARBAGE.items()),
    *(Case(f"{data!r} is no object", args, data, "expected an object")
      for args in (HOST, GUEST) for data in (b"[]", b"null", b"5", b'"text"', b"true")),
)  # fmt: skip

HOSTS = (
    *(Case(f"no {name}", HOST, _without(_host(), name), f"{name}: required")
      for name in ("name", "cells")),
    *(Case(f"the name {name!r}", HOST, host(name), "name: ")
      for name in ("", "a b", "../x", "-x", "é", "x" * 256, "a\n", "a\0b", 5, None, ["h"])),
    Case("an unknown key", HOST, _host(colour="red"), "colour: no such field"),
    Case("a key that is not text to print", HOST, _host(**{"\x1b[2J\n": 1}), "no such field"),
    Case("a NUL in a key", HOST, _host(**{"a\0": 1}), "NUL"),
    Case("an unknown key in a cell", HOST, _cell(colour="red"), "cells[0].colour: no such field"),
    *(Case(f"the cells {cells!r}", HOST, _host(cells=cells), "cells: ")
      for cells in _each([], {}, "0", 0, None)),
    *(Case(f"the cell {cell!r}", HOST, _host(cells=[cell]), "cells[0]") for cell in (None, 5, "0")),
    *(Case(f"the cell id {number!r}", HOST, _cell(id=number), "cells[0].id: ")
      for number in (-1, "0", 65536, 10**30, True, None)),
    *(Case(f"memory of {amount!r}", HOST, _cell(memory_mb=amount), "cells[0].memory_mb: ")
      for amount in (-1, "1", 2**40 + 1, 10**30, 1e300, None)),
    *(Case(f"the CPUs {cpus!r}", HOST, _cell(cpus=cpus), "cells[0].cpus: ")
      for cpus in ("x", "3-1", "0,,1", "-1", "0-8192", "0-99999999999", "٣", 5, ["0"], None)),
    *(Case(f"the siblings {siblings!r}", HOST, _cell(siblings=siblings), "siblings")
      for siblings in (["0,99"], ["0,8", "8,1"], [""], "0,8", [0], None)),
    *(Case(f"the pages {pages!r}", HOST, _cell(pages=pages), "cells[0].pages")
      for pages in _each(
          [{"size_kb": 0, "total": 1}], [{"size_kb": 4, "total": -1}], [{}], {}, "4")),
    Case("a page size twice", HOST, _cell(pages=[{"size_kb": 4, "total": 1}] * 2), "pages: "),
    Case("a cell twice", HOST, _host(cells=host()["cells"][:1] * 2), "cells: expected each id"),
    Case("a CPU in two cells", HOST, _cell(cpus="0-4,8-11"), "cells: cpus: expected no CPU twice"),
    Case("a CPU in both sets", HOST, _host(cpu_shared_set="0-1"),
         "cpu_shared_set and cpu_dedicated_set: expected no CPU twice, but 1 is"),
    *(Case(f"{name} not of this host", HOST, _host(**{name: "0,99"}), "cpu_")
      for name in ("cpu_shared_set", "cpu_dedicated_set")),
    *(Case(f"service_version {version!r}", HOST, _host(service_version=version), "service_version:")
      for version in (0, -1, "2", 2**40, 1.5, None)),
    *(Case(f"{name} {ratio!r}", HOST, _host(**{name: ratio}), f"{name}: ")
      for name in ("cpu_allocation_ratio", "ram_allocation_ratio")
      for ratio in (0, -1.0, 1e9, "16", None)),
    Case("an unknown packing", HOST, _host(packing="tight"), "packing: "),
    *(Case(f"the use {name}", HOST, _cell(**{name: value}), name) for name, value in
      {"pinned": "2", "shared_used": 1, "memory_used_mb": 1}.items()),
    Case("use of pages", HOST, _cell(pages=[{"size_kb": 4, "total": 9, "used": 1}]), "pages.used"),
    Case("use without NUMA", HOST, _host(floating_vcpus=1), "floating_"),
    Case("a pinned CPU of another cell", HOST, _cell(pinned="4"), "pinned: "),
)  # fmt: skip

GUESTS = (
    *(Case(f"no {name}", GUEST, _without(plain(1), name), f"{name}: required")
      for name in ("uuid", "project_id", "name", "flavor")),
    Case("an unknown key", GUEST, plain(1, flavour={}), "flavour: no such field"),
    *(Case(f"the UUID {uuid!r}", GUEST, guest(uuid, addresses=[]), "uuid: ")
      for uuid in ("", "x", "1f1c2a0e6a564c1c9a350d7f3c7b6f52", "\0", "a\nb", 5, ["x"])),
    *(Case(f"the name {name!r}", GUEST, plain(1, name=name), "name: ")
      for name in ("", "a\nb", "a\0b", "\x7f", "x" * 256, 5)),
    *(Case(f"the hostname {name!r}", GUEST, plain(1, hostname=name), "hostname: ")
      for name in ("", "-x", "a b", "a\n", "é", 5)),
    *(Case(f"vcpus of {n!r}", GUEST, _flavor(vcpus=n), "flavor.vcpus: ")
      for n in (0, -1, 4097, 10**30, "8", 1.5, True, None)),
    *(Case(f"memory_mb of {n!r}", GUEST, _flavor(memory_mb=n), "flavor.memory_mb: ")
      for n in (0, -1, 2**40 + 1, 10**30, "8", None)),
    Case("an unknown key in the flavor", GUEST, _flavor(disk=1), "flavor.disk: no such field"),
    Case("an unknown key in the image", GUEST, plain(1, image={"x": 1}), "image.x: no such field"),
    Case("an image without a form", GUEST, plain(1, image="debian"), "image: "),
    *(Case(f"the spec {value!r}", GUEST, _specs({"hw:cpu_policy": value}), "hw:cpu_policy")
      for value in _each("pinned", "", None, [], {}, 1.5)),
    Case("specs that are a list", GUEST, _flavor(extra_specs=[]), "flavor.extra_specs: "),
    Case("counts that do not add up (R3)", GUEST, _specs({"resources:PCPU": "9"}),
         "resources:PCPU=9: expected 8 in all"),
    Case("a mask without mixed (R4)", GUEST,
         _specs({"hw:cpu_policy": "dedicated", "hw:cpu_dedicated_mask": "0"}),
         "hw:cpu_dedicated_mask='0': expected hw:cpu_policy=mixed"),
    Case("mixed without a mask (R5)", GUEST, _specs({"hw:cpu_policy": "mixed"}),
         "hw:cpu_dedicated_mask"),
    Case("a conflict with the image (R1)", GUEST,
         {**_specs({"hw:cpu_policy": "shared"}),
          "image": {"properties": {"hw_cpu_policy": "dedicated"}}}, "hw_cpu_policy='dedicated'"),
    Case("isolate with shared (R13)", GUEST,
         _specs({"hw:cpu_policy": "shared", "hw:emulator_threads_policy": "isolate"}),
         "hw:emulator_threads_policy='isolate'"),
    *(Case(f"the IP {ip!r}", GUEST, _address(ip=ip), "addresses[0].ip: ")
      for ip in ("", "10.0.0.256", "10.0.0.5/24", "fe80::1%", "x", 5, None)),
    *(Case(f"the MAC {mac!r}", GUEST, _address(mac=mac), "addresses[0].mac: ")
      for mac in ("", "fa:16:3e:aa:bb", "fa:16:3e:aa:bb:cc\n", 5)),
    Case("an address twice", GUEST, plain(1, addresses=[{"network": "n", "ip": "10.0.0.9"}] * 2),
         "addresses: network and ip: expected each once"),
    Case("addresses that are no list", GUEST, plain(1, addresses={}), "addresses: "),
    Case("a key's name twice", GUEST,
         plain(1, key_pairs=[{"name": "ops", "public_key": "k"}] * 2), "key_pairs: name"),
    Case("a key of an unknown type", GUEST,
         plain(1, key_pairs=[{"name": "a", "public_key": "k", "type": "pgp"}]),
         "key_pairs[0].type"),
    Case("user data that is a number", GUEST, plain(1, user_data=5), "user_data: "),
    Case("user data that is no base64", GUEST, plain(1, user_data={"base64": "!"}),
         "user_data.base64: "),
    Case("more user data than Nova takes", GUEST, plain(1, user_data="é" * 32768), "user_data: "),
    Case("a NUL in the user data", GUEST, plain(1, user_data="a\0b"), "user_data: "),
    Case("meta that is not text", GUEST, plain(1, meta={"a": 1}), "meta.a: expected text"),
    *(Case(f"launch_index {n!r}", GUEST, plain(1, launch_index=n), "launch_index: ")
      for n in (-1, 2**40, "0", 0.5)),
    Case("an unknown device", GUEST, plain(1, devices=[{"type": "gpu"}]), "devices[0].type: "),
    Case("a NIC without a MAC", GUEST, plain(1, devices=[{"type": "nic"}]), "devices[0].mac: req"),
    Case("a VLAN that is none", GUEST,
         plain(1, devices=[{"type": "nic", "mac": "fa:16:3e:aa:bb:cc", "vlan": 4095}]),
         "devices[0].vlan: "),
    Case("a number beyond 64 bits", GUEST, plain(1, network_data={"mtu": 10**30}), "64 bits"),
    Case("a file's content that is no base64", GUEST,
         plain(1, files=[{"path": "/x", "content": {"base64": "="}}]), "files[0].content"),
    Case("a layout, which is not the operator's to say", GUEST, plain(1, layout={}), "layout: "),
    Case("a place, which is not said here", GUEST, plain(1, host="h1"), "host: no such field"),
)  # fmt: skip

CPU = "<cpu id='0' socket_id='0' core_id='0' siblings='0'/>"
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><capabilities>&b;</capabilities>'

IMPORTS = (
    Case("another document", IMPORT, b"<domain/>", "<domain>: expected <capabilities>"),
    Case("no topology", IMPORT, b"<capabilities/>", "expected a host with <topology>"),
    Case("no cells", IMPORT, _xml("<cells/>"), "<cells> with at least one <cell>"),
    Case("a cell without an id", IMPORT, _xml("<cells><cell/></cells>"), "<cell> id: expected"),
    Case("entities", IMPORT, LAUGHS, "<!DOCTYPE x>: expected no document type"),
    Case("memory that is no number", IMPORT,
         _xml(f"<cells><cell id='0'><memory>x</memory><cpus>{CPU}</cpus></cell></cells>"),
         "<memory>: expected a whole number"),
    *(Case(f"the name {name!r}", ("host", "import", name, *IMPORT[3:]),
           _xml(f"<cells><cell id='0'><cpus>{CPU}</cpus></cell></cells>"), "name: ")
      for name in ("a b", "../x", "é", "a\nb", "\udcff", " ")),
    Case("one CPU in both sets", (*IMPORT, "--shared", "0", "--dedicated", "0"),
         _xml(f"<cells><cell id='0'><cpus>{CPU}</cpus></cell></cells>"), "expected no CPU twice"),
    *(Case(f"{flag} not of this host", (*IMPORT, f"--{flag}", "0-1"),
           _xml(f"<cells><cell id='0'><cpus>{CPU}</cpus></cell></cells>"),
           f"cpu_{flag}_set: CPUs 1 are not among") for flag in ("shared", "dedicated")),
)  # fmt: skip

FILES = (
    *(Case(f"{' '.join(args)}, missing", (*args, "/nowhere/x"), b"", "/nowhere/x: No such file")
      for args in (HOST[:2], GUEST[:2], IMPORT[:4], ("fit",))),
    *(Case(f"{' '.join(args)}, a directory", (*args, "/"), b"", "/: Is a directory")
      for args in (HOST[:2], GUEST[:2], IMPORT[:4], ("fit",))),
    *(Case(f"{' '.join(args)}, empty", (*args, "/dev/null"), b"", names)
      for args, names in ((HOST[:2], "JSON"), (GUEST[:2], "JSON"), (IMPORT[:4], "expected XML"))),
    Case("a file that cannot be read", ("host", "add", "/proc/self/mem"), b"", "/proc/self/mem: "),
)  # fmt: skip


@pytest.mark.parametrize(
    "case", [*FORMLESS, *HOSTS, *GUESTS, *IMPORTS, *FILES],
    ids=lambda case: f"{' '.join(case.args[:2])}: {case.claim}".encode("ascii", "replace").decode(),
)  # fmt: skip
def test_bad_input_is_named_on_one_line_and_nothing_is_stored(
    with_guest: Mdsvc, dump: Dump, case: Case
) -> None:
    before = dump()
    done = with_guest(*case.args, stdin=case.stdin)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mdsvc: ")
    assert done.err.endswith("\n")
    assert done.err[:-1].isprintable()
    assert case.names in done.err
    assert dump() == before


def test_no_store_is_made_for_bad_input(mdsvc: Mdsvc, file: Path) -> None:
    for args in (HOST, GUEST, IMPORT):
        assert mdsvc(*args, stdin=b"{}").code == 2
    assert not file.exists()


def test_more_than_the_limit_is_not_read(
    mdsvc: Mdsvc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(console, "_MAX_FILE", 1000)
    big = tmp_path / "big"
    big.write_bytes(b"[" * 1001)
    for done in (mdsvc("host", "add", str(big)), mdsvc(*HOST, stdin=big.read_bytes())):
        assert (done.code, done.out) == (2, "")
        assert "expected at most 1000 bytes" in done.err


# ---- bad usage: click's own form ----

USAGE: dict[str, tuple[str, ...]] = {
    "No such command 'hots'": ("hots",),
    "No such command 'ad'": ("host", "ad"),
    "No such option '--stor'": ("host", "list", "--stor", "x"),
    "Missing argument 'FILE'": ("host", "add"),
    "Missing argument 'UUID'": ("instance", "show"),
    "Missing argument 'NAME'": ("host", "remove"),
    "Got unexpected extra argument (b)": ("host", "show", "a", "b"),
    "Option '--store' requires an argument": ("host", "list", "--store"),
    "expected one of --capabilities XML and --local": ("host", "import", "new"),
    "Invalid value for '--shared': 'x'": ("host", "import", "new", "--local", "--shared", "x"),
    "Invalid value for '--dedicated': range 3-1": (
        *("host", "import", "new", "--local", "--dedicated", "3-1"),
    ),
    "Invalid value for '--identity': 'token'": ("serve", "--identity", "token"),
    "Invalid value for '--log-level': 'loud'": ("serve", "--log-level", "loud"),
    "Invalid value for '--version-list': 'old'": ("serve", "--version-list", "old"),
}


@pytest.mark.parametrize("message", USAGE)
def test_bad_usage_says_so_last_and_names_it(mdsvc: Mdsvc, file: Path, message: str) -> None:
    done = mdsvc(*USAGE[message])
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith(f"Error: {message}")
    assert not file.exists()


def test_local_and_a_file_are_not_both_taken(mdsvc: Mdsvc) -> None:
    done = mdsvc("host", "import", "new", "--local", "--capabilities", "-")
    assert (done.code, done.out) == (2, "")
    assert "expected one of --capabilities XML and --local" in done.err
