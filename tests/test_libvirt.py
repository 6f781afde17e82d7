"""What `virsh capabilities` prints becomes a host, and what it never prints one clear message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.discovery import Discovered
from mdsvc.discovery.capabilities import host_from_capabilities
from mdsvc.discovery.markup import MAX_XML
from mdsvc.errors import BadInput
from mdsvc.topology import Host, HostCell
from tests.machines import capabilities as machines
from tests.machines.known import MACHINES
from tests.promptly import promptly


def topology(name: str) -> Host:
    return host_from_capabilities(machines.capabilities(MACHINES[name]), "h1").host


def capabilities(*cells: str) -> str:
    """A document with these cells, around the noise that a real one has."""
    return f"""<?xml version="1.0"?>
    <!-- a comment -->
    <capabilities>
      <host>
        <uuid>50903af2-08f4-4635-b172-8871f863acac</uuid>
        <cpu><topology sockets='1' cores='2' threads='2'/><pages unit='KiB' size='4'/></cpu>
        <topology><cells num='{len(cells)}'>{"".join(cells)}</cells></topology>
      </host>
      <guest><os_type>hvm</os_type></guest>
    </capabilities>"""


def cell(number: int, cpus: str, inside: str = "<memory unit='KiB'>4194304</memory>") -> str:
    return f"<cell id='{number}'>{inside}<cpus>{cpus}</cpus></cell>"


def cpu(number: int, siblings: str, socket: int = 0) -> str:
    return f"<cpu id='{number}' socket_id='{socket}' core_id='0' siblings='{siblings}'/>"


TWO_CORES = cell(0, cpu(0, "0,2") + cpu(1, "1,3") + cpu(2, "0,2") + cpu(3, "1,3"))


def imported(*cells: str) -> Host:
    return host_from_capabilities(capabilities(*cells), "h1").host


def of_memory(inside: str) -> Host:
    return imported(cell(0, cpu(0, "0"), inside))


def refused(xml: str | bytes, name: str = "h1") -> str:
    with pytest.raises(BadInput) as error:
        host_from_capabilities(xml, name)
    return str(error.value)


# ---- known machines ----


FOUND: dict[str, Any] = json.loads((Path(__file__).parent / "data/machines.json").read_text())
"""What must be found in each machine: totals, and the first and last cell."""


def seen(cell: HostCell) -> dict[str, Any]:
    return {
        "id": cell.id,
        "socket": cell.socket,
        "memory_mb": cell.memory_mb,
        "cpus": str(cell.cpus),
    }


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_imported_whole(name: str) -> None:
    host = topology(name)
    assert {
        "cells": len(host.cells),
        "cpus": len(host.cpus),
        "cores": sum(len(cell.cores) for cell in host.cells),
        "first": seen(host.cells[0]),
        "last": seen(host.cells[-1]),
    } == FOUND[name]


def test_page_pools_keep_their_sizes_and_totals() -> None:
    pools = topology("intel-hugepages-2n-32").cells[0].pages
    assert [(pool.size_kb, pool.total) for pool in pools] == [
        (4, 10932831),
        (2048, 2048),
        (1048576, 0),
    ]


def test_four_threads_of_a_core_are_one_group() -> None:
    host = topology("intel-knl-8n-64")
    assert [str(core) for core in host.cells[0].cores][:2] == ["0,16,32,48", "1,17,33,49"]


# ---- CPUs ----


def test_without_sets_every_cpu_is_shared() -> None:
    host = imported(TWO_CORES)
    assert (host.cpu_shared_set, host.cpu_dedicated_set) == (CpuSet.parse("0-3"), EMPTY)


@pytest.mark.parametrize("field", ["shared", "dedicated"])
def test_with_one_set_given_the_other_is_empty(field: str) -> None:
    xml = capabilities(TWO_CORES)
    host = host_from_capabilities(xml, "h1", **{field: CpuSet.parse("0,2")}).host
    sets = {"shared": host.cpu_shared_set, "dedicated": host.cpu_dedicated_set}
    assert sets.pop(field) == CpuSet.parse("0,2")
    assert sets.popitem()[1] == EMPTY


def test_an_empty_set_is_a_set_that_is_given() -> None:
    host = host_from_capabilities(capabilities(TWO_CORES), "h1", shared=EMPTY).host
    assert host.cpu_shared_set == EMPTY


def test_a_cpu_without_siblings_is_offline() -> None:
    host = imported(cell(0, cpu(0, "0,2") + "<cpu id='1'/>" + cpu(2, "0,2")))
    assert str(host.cpus) == "0,2"


def test_where_no_cpu_has_siblings_libvirt_is_old_and_all_are_online() -> None:
    host = imported(cell(0, "<cpu id='0'/><cpu id='1'/>"))
    assert [str(core) for core in host.cells[0].cores] == ["0", "1"]


def cores(host: Host) -> list[tuple[list[str], str]]:
    """The siblings of each cell, and what is split."""
    return [(list(map(str, c.siblings)), str(c.split)) for c in host.cells]


def test_a_core_is_split_where_its_threads_are_in_two_cells() -> None:
    found = host_from_capabilities(
        capabilities(cell(0, cpu(0, "0-1") + cpu(2, "2")), cell(1, cpu(1, "0-1"))), "h1"
    )
    assert cores(found.host) == [(["2"], "0"), ([], "1")]
    assert [note.split(",")[0] for note in found.notes] == [
        "cell 0: the cores of CPUs 0 reach into another cell",
        "cell 1: the cores of CPUs 1 reach into another cell",
    ]


def test_a_cpu_that_two_cells_name_is_in_the_smaller() -> None:
    inner, outer = cpu(0, "0"), cpu(0, "0") + cpu(1, "1")
    assert [str(c.cpus) for c in imported(cell(0, outer), cell(1, inner)).cells] == ["1", "0"]


def test_cells_of_the_same_cpus_leave_them_to_the_first() -> None:
    host = imported(cell(4, cpu(0, "0")), cell(9, cpu(0, "0")))
    assert [str(c.cpus) for c in host.cells] == ["0", ""]


def test_a_cell_without_cpus_is_memory_only() -> None:
    host = imported(TWO_CORES, "<cell id='250'><memory unit='KiB'>1048576</memory></cell>")
    assert (host.cells[1].id, host.cells[1].memory_mb, host.cells[1].cpus) == (250, 1024, EMPTY)


@pytest.mark.parametrize("socket", ["-1", "70000", "x", ""])
def test_a_socket_that_makes_no_sense_is_the_cells_own(socket: str) -> None:
    xml = cell(5, f"<cpu id='0' socket_id='{socket}' siblings='0'/>")
    assert imported(xml).cells[0].socket == 5


def test_a_cell_over_two_sockets_is_a_socket_of_its_own() -> None:
    assert imported(cell(7, cpu(0, "0", 0) + cpu(1, "1", 1))).cells[0].socket == 7


@pytest.mark.parametrize("root", ["host", "topology"])
def test_the_inner_elements_are_understood_alone(root: str) -> None:
    xml = capabilities(TWO_CORES)
    start, end = xml.rindex(f"<{root}>"), xml.rindex(f"</{root}>") + len(f"</{root}>")
    assert host_from_capabilities(xml[start:end], "h1").host == imported(TWO_CORES)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_bytes_of_any_encoding_that_xml_declares_are_read(encoding: str) -> None:
    xml = capabilities(TWO_CORES).replace('"1.0"', f'"1.0" encoding="{encoding}"')
    assert host_from_capabilities(xml.encode(encoding), "h1").host == imported(TWO_CORES)


# ---- caches ----


def of_banks(*banks: str) -> list[list[str]]:
    """The L3 domains of each cell."""
    return [list(map(str, cell.l3)) for cell in of_caches(*banks).host.cells]


def of_caches(*banks: str) -> Discovered:
    """Two cells of two cores each, CPU 7 offline."""
    cells = (
        cell(0, cpu(0, "0,4") + cpu(1, "1,5") + cpu(4, "0,4") + cpu(5, "1,5")),
        cell(1, cpu(2, "2,6") + cpu(3, "3") + cpu(6, "2,6") + "<cpu id='7'/>"),
    )
    xml = capabilities(*cells).replace("</host>", f"<cache>{''.join(banks)}</cache></host>")
    return host_from_capabilities(xml, "h1")


def bank(cpus: str, level: int = 3, kind: str = "both") -> str:
    return f"<bank id='0' level='{level}' type='{kind}' size='32' unit='MiB' cpus='{cpus}'/>"


@pytest.mark.parametrize(
    ("banks", "l3"),
    [
        ([bank("1,5"), bank("0,4"), bank("2,6"), bank("3,7")], [["0,4", "1,5"], ["2,6", "3"]]),
        ([bank("0-7")], [["0-1,4-5"], ["2-3,6"]]),
        ([bank("0-1,4-5")], [["0-1,4-5"], []]),
        ([bank("0-7", level=2), bank("0-7", kind="code"), "<bank level='3'/>"], [[], []]),
    ],
    ids=["each a domain", "over two cells", "of one cell only", "of other kinds"],
)
def test_each_cell_has_its_part_of_every_l3_bank(banks: list[str], l3: list[list[str]]) -> None:
    assert of_banks(*banks) == l3


def test_a_cell_whose_caches_make_no_sense_is_taken_without() -> None:
    found = of_caches(bank("0-1"), bank("2,6"), bank("4-5"))
    assert [list(map(str, cell.l3)) for cell in found.host.cells] == [[], ["2,6"]]
    why = "expected whole cores, but 0-1 has a part of one"
    assert found.notes == [f"cell 0 is taken without its L3 caches: {why}"]


def test_a_bank_that_is_no_cpu_list_is_named() -> None:
    with pytest.raises(BadInput, match=r"^<bank id='0'> cpus: '0;1' in '0;1' is no CPU number"):
        of_banks(bank("0;1"))


def test_the_l3_caches_of_a_real_machine() -> None:
    host = topology("intel-cascadelake-2n-96")
    assert [list(map(str, cell.l3)) for cell in host.cells] == [["0-23,48-71"], ["24-47,72-95"]]


# ---- memory ----


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ("<memory unit='KiB'>2047</memory>", 1),
        ("<memory>2048</memory>", 2),
        ("<memory unit='k'>2048</memory>", 2),
        ("<memory unit='KB'>2097152</memory>", 2000),
        ("<memory unit='bytes'>4194304</memory>", 4),
        ("<memory unit='MiB'>3</memory>", 3),
        ("<memory unit='G'>2</memory>", 2048),
        ("<memory unit='TiB'>\n 1 \n</memory>", 1048576),
        ("", 0),
    ],
)
def test_memory_is_read_in_libvirts_units_and_rounded_down(memory: str, expected: int) -> None:
    assert of_memory(memory).cells[0].memory_mb == expected


def test_memory_that_is_not_told_is_that_of_the_pages() -> None:
    pages = "<pages unit='KiB' size='4'>512</pages><pages unit='MiB' size='2'>3</pages>"
    host = of_memory(pages)
    assert host.cells[0].memory_mb == 2 + 6
    assert [pool.size_kb for pool in host.cells[0].pages] == [4, 2048]


# ---- what is refused ----

CPU = cpu(0, "0")
BAD = {
    "no XML": ("no XML", "expected XML as `virsh capabilities` prints it"),
    "empty": ("", "expected XML"),
    "NUL": ("<topology>\0</topology>", "expected XML"),
    "lone surrogate": ("<topology>\ud800</topology>", "expected XML"),
    "cut off": (capabilities(TWO_CORES)[:-9], "expected XML"),
    "unknown entity": ("<topology>&lol;</topology>", "undefined entity"),
    "a domain": ("<domain/>", "<domain>: expected <capabilities>"),
    "no host": ("<capabilities/>", "<capabilities>: expected a host with <topology>"),
    "no topology": ("<host><cpu/></host>", "<host>: expected a host with <topology>"),
    "no cells": (capabilities(), "<topology>: expected <cells> with at least one <cell>"),
    "cell without id": ("<topology><cells><cell/></cells></topology>", "<cell> id: expected"),
    "negative id": (capabilities("<cell id='-1'/>"), "<cell> id: expected a whole number"),
    "huge id": (capabilities("<cell id='65536'/>"), "0 to 65535, got '65536'"),
    "digits of another script": (capabilities("<cell id='١'/>"), "<cell> id: expected"),
    "cell twice": (capabilities("<cell id='1'/>", "<cell id='1'/>"), "cells: expected each id"),
    "cpu id": (capabilities(cell(3, "<cpu id='x'/>")), "<cell id='3'><cpu> id: expected"),
    "huge cpu id": (capabilities(cell(3, cpu(8192, "0"))), "0 to 8191, got '8192'"),
    "siblings": (capabilities(cell(3, cpu(0, "0;1"))), "<cell id='3'><cpu id='0'> siblings: '0;1'"),
    "siblings that differ": (
        capabilities(cell(3, cpu(0, "0-1") + cpu(1, "1"))),
        "<cell id='3'> siblings: expected no CPU twice, but 1 is",
    ),
    "memory": (
        capabilities(cell(3, CPU, "<memory unit='KiB'>lots</memory>")),
        "<cell id='3'><memory>: expected a whole number of 0 to",
    ),
    "no memory in it": (capabilities(cell(3, CPU, "<memory/>")), "<memory>: expected a whole"),
    "too much memory": (
        capabilities(cell(3, CPU, "<memory>1" + "0" * 30 + "</memory>")),
        "<memory>",
    ),
    "much in a large unit": (
        capabilities(cell(3, CPU, "<memory unit='EiB'>2048</memory>")),
        "<cell id='3'><memory>: expected at most",
    ),
    "unit": (
        capabilities(cell(3, CPU, "<memory unit='furlong'>1</memory>")),
        "<cell id='3'><memory> unit: expected one like KiB, MiB or bytes, got 'furlong'",
    ),
    "pages without size": (
        capabilities(cell(3, CPU, "<pages>1</pages>")),
        "<cell id='3'><pages> size: expected a whole number of 0 to",
    ),
    "pages of nothing": (
        capabilities(cell(3, CPU, "<pages size='0'>1</pages>")),
        "<cell id='3'><pages> size: expected 1 KiB or more",
    ),
    "half a page": (capabilities(cell(3, CPU, "<pages size='4'>0.5</pages>")), "<pages>: expected"),
    "pages twice": (
        capabilities(cell(3, CPU, "<pages size='4'>1</pages><pages size='4'>2</pages>")),
        "<cell id='3'> pages: expected one pool for each page size",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_that_names_the_element(case: str) -> None:
    xml, expected = BAD[case]
    message = refused(xml)
    assert expected in message
    assert len(message) < 250
    assert "\n" not in message


def test_sets_must_be_cpus_that_are_online() -> None:
    xml = capabilities(cell(0, cpu(0, "0") + "<cpu id='1'/>"))
    with pytest.raises(BadInput, match="cpu_dedicated_set: CPUs 1 are offline; expected CPUs"):
        host_from_capabilities(xml, "h1", dedicated=CpuSet.of([0, 1]))
    with pytest.raises(BadInput, match="cpu_shared_set: CPUs 2 are not among the host's CPUs"):
        host_from_capabilities(xml, "h1", shared=CpuSet.of([0, 2]))


def test_the_name_must_be_a_hosts_name() -> None:
    assert refused(capabilities(TWO_CORES), "a b").startswith("name: ")


def billion_laughs() -> str:
    levels = [f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12)]
    return f'<!DOCTYPE x [<!ENTITY l0 "lol">{"".join(levels)}]><topology>&l11;</topology>'


@pytest.mark.parametrize(
    "xml",
    [
        billion_laughs(),
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><topology/>',
        '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><topology>&f;</topology>',
        "<!DOCTYPE capabilities><capabilities/>",
    ],
    ids=["billion laughs", "external DTD", "external entity", "harmless"],
)
def test_a_document_type_is_refused_at_once(xml: str) -> None:
    with promptly():
        assert "expected no document type" in refused(xml)


@pytest.mark.parametrize(
    "xml",
    [
        b" " * (MAX_XML + 1),
        "<a>" * 100_000 + "</a>" * 100_000,
        "<topology><cells>" + "<cell>" * 50_000 + "</cell>" * 50_000 + "</cells></topology>",
        "<" + "a" * 1_000_000 + "/>",
    ],
    ids=["16 MiB", "deep", "deep cells", "long name"],
)
def test_what_is_huge_is_refused_with_a_short_message(xml: str | bytes) -> None:
    assert len(refused(xml)) < 200


@given(at=st.integers(0, 2000), removed=st.integers(0, 30), put=st.text(max_size=5))
def test_whatever_is_changed_there_is_a_host_or_one_message(
    at: int, removed: int, put: str
) -> None:
    xml = capabilities(TWO_CORES, cell(1, cpu(4, "4"), "<pages size='4'>1</pages>"))
    try:
        host_from_capabilities(xml[:at] + put + xml[at + removed :], "h1")
    except BadInput as error:
        assert str(error)  # noqa: PT017 - either outcome will do
