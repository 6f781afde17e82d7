"""What people read of hosts and guests: tables, and the drawing of a host."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console, RenderableType

from mdsvc.forms import from_builtins
from mdsvc.instance import Instance, PlacedInstance, place_instance
from mdsvc.layout import Layout
from mdsvc.placing.usage import place
from mdsvc.policy.flavor import Flavor
from mdsvc.terminal import tables
from mdsvc.terminal.host_map import host_map
from mdsvc.topology import Host

DATA = Path(__file__).parent / "data"
ESCAPE = re.compile("\x1b\\[[0-9;]*m")


def printed(what: RenderableType, width: int = 80, encoding: str = "utf-8", **kind: Any) -> str:
    """What a console of that width and encoding puts out."""
    out = io.BytesIO()
    file = io.TextIOWrapper(out, encoding=encoding)
    Console(file=file, width=width, highlight=False, **kind).print(what)
    file.flush()
    return out.getvalue().decode(encoding)


def coloured(what: RenderableType, **kind: Any) -> str:
    terminal: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor"}
    return printed(what, **(terminal | kind))


# ---- a small host with a guest of every kind ----


def guest(name: str, vcpus: int, memory_mb: int, *cells: dict[str, Any], **more: Any) -> Any:
    """A guest on h1 whose cells are as in a layout's JSON form; empty fields left out."""
    empty = {"cpuset": "", "pcpuset": "", "cpu_pinning": {}}
    form = {
        "dedicated_cpus": ",".join(cell["pcpuset"] for cell in cells if "pcpuset" in cell),
        "shared_cpus": ",".join(cell["cpuset"] for cell in cells if "cpuset" in cell),
        "realtime_cpus": "",
        "cpu_policy": "dedicated",
        "cpu_thread_policy": None,
        "emulator_threads_policy": None,
        "emulator_cpus": "",
        "cells": [{"id": at, **empty, **cell} for at, cell in enumerate(cells)],
    }
    instance = Instance(
        uuid=f"1f1c2a0e-6a56-4c1c-9a35-{vcpus:04}{memory_mb:08}",
        project_id="net-a",
        name=name,
        flavor=Flavor(name="f1", vcpus=vcpus, memory_mb=memory_mb),
    )
    return place_instance(instance, "h1", from_builtins(form | more, Layout))


GUESTS: list[PlacedInstance] = [
    guest(
        "dpdk-0",
        6,
        4096,
        {"host_cell": 0, "cpuset": "0-1", "pcpuset": "2", "cpu_pinning": {2: 2}, "memory_mb": 2048},
        {"host_cell": 1, "pcpuset": "3-5", "cpu_pinning": {3: 4, 4: 12, 5: 5}, "memory_mb": 2048},
        cpu_policy="mixed",
    ),
    guest(
        "db [red]1[/]",
        2,
        4096,
        {
            "host_cell": 1,
            "pcpuset": "0-1",
            "cpu_pinning": {0: 6, 1: 14},
            "cpuset_reserved": "13",
            "memory_mb": 4096,
        },
        emulator_threads_policy="isolate",
    ),
    guest(
        "rt",
        1,
        1024,
        {
            "host_cell": 0,
            "pcpuset": "0",
            "cpu_pinning": {0: 3},
            "memory_mb": 1024,
            "pagesize_kb": 2048,
        },
        cpu_thread_policy="isolate",
    ),
    guest("web", 4, 2048, cpu_policy="shared"),
]


def small_host() -> Host:
    pages = [{"size_kb": 4, "total": 3670016}, {"size_kb": 2048, "total": 1024}]
    cells = [
        {"id": 0, "memory_mb": 16384, "cpus": "0-3,8-11", "pages": pages},
        {"id": 1, "memory_mb": 16384, "cpus": "4-7,12-15"},
    ]
    for at, cell in enumerate(cells):
        cell["siblings"] = [f"{n},{n + 8}" for n in range(4 * at, 4 * at + 4)]
    sets = {"cpu_shared_set": "0-1,8-9", "cpu_dedicated_set": "2-6,10-15"}
    return from_builtins({"name": "h1", "cells": cells, **sets}, Host)


@pytest.fixture
def host() -> Host:
    placed = small_host()
    for instance in GUESTS:
        placed = place(placed, instance.layout, instance.flavor)
    return placed


def large_host(sockets: int, cores: int, threads: int) -> Host:
    """All CPUs shared, numbered as on Intel servers: the first threads of all cores come first."""
    total = sockets * cores
    groups = [",".join(str(core + total * n) for n in range(threads)) for core in range(total)]
    cells = []
    for socket in range(sockets):
        mine = groups[socket * cores : (socket + 1) * cores]
        cells.append({"id": socket, "memory_mb": 262144, "cpus": ",".join(mine), "siblings": mine})
    form = {"name": "big", "cells": cells, "cpu_shared_set": f"0-{total * threads - 1}"}
    return from_builtins(form, Host)


# ---- the drawing ----


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_drawing_of_a_small_host(host: Host, encoding: str) -> None:
    drawn = "".join(
        f"{line.rstrip()}\n" for line in printed(host_map(host, GUESTS), 80, encoding).splitlines()
    )
    assert drawn == (DATA / f"host_map.{encoding}.txt").read_text(encoding="utf-8")


def test_colour_only_repeats_what_the_letters_say(host: Host) -> None:
    drawing = host_map(host, GUESTS)
    assert ESCAPE.sub("", coloured(drawing)) == printed(drawing)
    assert "38;2;" not in coloured(drawing, no_color=True)


@pytest.mark.parametrize("width", [1, 20, 40, 79, 80, 81, 120, 400])
@pytest.mark.parametrize(
    "shape", [(1, 2, 1), (1, 1, 8), (2, 48, 2), (2, 192, 1), (8, 24, 2), (64, 2, 2)]
)
def test_the_drawing_fits_any_width(width: int, shape: tuple[int, int, int]) -> None:
    lines = printed(host_map(large_host(*shape), []), width).splitlines()
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("shape", [(1, 2, 1), (2, 48, 2), (2, 96, 2), (8, 24, 2), (64, 2, 2)])
def test_at_80_columns_every_core_is_named_and_every_thread_has_a_place(
    shape: tuple[int, int, int],
) -> None:
    lines = printed(host_map(large_host(*shape), []), 80).splitlines()
    named = [
        n for line in lines for part in re.findall(r"│ cpu +([0-9 ]+)", line) for n in part.split()
    ]
    sockets, cores, threads = shape
    assert sorted(map(int, named)) == list(range(sockets * cores))
    boxes = "\n".join(line for line in lines if line.startswith("│"))
    assert boxes.count("~") == sockets * cores * threads


def test_threads_that_follow_no_rule_are_numbered_row_by_row() -> None:
    cell = {"id": 0, "memory_mb": 1024, "cpus": "0-4", "siblings": ["0,3", "1,2"]}
    host = from_builtins({"name": "h", "cells": [cell], "cpu_dedicated_set": "0-4"}, Host)
    lines = [line.strip("│ ").split() for line in printed(host_map(host, [])).splitlines()[2:6]]
    assert lines == [["cpu", "0", "1", "4"], [".", ".", "."], ["cpu", "3", "2"], [".", "."]]


def test_guests_of_other_hosts_are_not_drawn(host: Host) -> None:
    elsewhere = [replace(i, host="h2") for i in GUESTS]
    assert printed(host_map(host, elsewhere)) == printed(host_map(host, []))


def test_what_no_listed_guest_explains_is_marked(host: Host) -> None:
    assert "?  taken, not by these" in printed(host_map(host, GUESTS[1:]))


def test_a_pcpu_given_twice_is_marked(host: Host) -> None:
    assert "!  given to two guests" in printed(host_map(host, [*GUESTS, GUESTS[0]]))


def test_pins_to_cpus_that_the_host_has_no_more_are_left_out() -> None:
    one = from_builtins({"name": "h1", "cells": [{"id": 0, "cpus": "9", "memory_mb": 1}]}, Host)
    assert "A2" not in printed(host_map(one, GUESTS[:1]))


def test_a_cell_without_memory_has_no_bar() -> None:
    cells = [{"id": 0, "cpus": "0", "memory_mb": 0}]
    drawn = printed(host_map(from_builtins({"name": "h", "cells": cells}, Host), []))
    assert re.search(r"│ memory +0 of 0 MiB +│", drawn)


def test_a_guest_with_two_letters_is_not_taken_for_two_guests() -> None:
    others = [guest(f"a{n:02}", 1, 1) for n in range(26)]
    last = guest("b", 1, 8192, {"host_cell": 1, "memory_mb": 8192})
    host = place(small_host(), last.layout, last.flavor)
    assert re.search(r"memory +AA▒+\.+ 8 of 16 GiB", printed(host_map(host, [*others, last])))


def test_letters_go_on_after_z() -> None:
    names = [f"g{n:02}" for n in range(28)]
    guests = [guest(name, 1, at + 1) for at, name in enumerate(names)]
    drawn = printed(host_map(small_host(), guests))
    assert re.search(r"(?m)^ Z +g25 ", drawn)
    assert re.search(r"(?m)^ AB +g27 ", drawn)


# ---- tables ----


def test_hosts_are_told_with_what_is_used_and_what_there_is(host: Host) -> None:
    head, _, line = (row.split("  ") for row in printed(tables.hosts_table([host])).splitlines())
    told = dict(zip(*([w.strip() for w in row if w.strip()] for row in (head, line)), strict=True))
    assert told == {
        "host": "h1",
        "cells": "2",
        "dedicated free": "2 of 11",
        "shared used": "6 of 64",
        "memory used": "11 of 32 GiB",
        "service": "v2",
    }


def test_a_host_is_told_cell_by_cell(host: Host) -> None:
    text = printed(tables.host_detail(host))
    assert re.search(r"cpu_dedicated_set +2-6,10-15", text)
    assert re.search(r"0 +0 +0-3,8-11 +4 × 2 +10 +2 of 64 +2 of 14 GiB +2 MiB: 512 of 1024", text)
    assert re.search(r"1 +1 +4-7,12-15 +4 × 2 +15 +0 of 0 +6 of 16 GiB +-", text)


def test_a_layout_is_told_with_every_pin() -> None:
    text = printed(tables.layout_table(GUESTS[0].layout))
    assert re.search(r"1 +1 +3→4 4→12 5→5 +- +- +2048 MiB +-", text)


def test_a_guest_without_numa_is_told_to_float() -> None:
    assert "floats over the host's shared CPUs" in printed(tables.instance_detail(GUESTS[3]))


def test_wide_consoles_have_a_line_for_each_guest() -> None:
    lines = printed(tables.instances_table(GUESTS), 120).splitlines()
    assert len(lines) == 2 + len(GUESTS)
    assert re.search(r"dpdk-0 +net-a +h1 +mixed +2-5 +0-1", lines[2])


def test_narrow_consoles_have_two_lines_and_no_uuid_is_cut() -> None:
    text = printed(tables.instances_table(GUESTS), 80)
    assert all(instance.uuid in text for instance in GUESTS)
    assert len(text.splitlines()) == 3 + 2 * len(GUESTS)


@pytest.mark.parametrize("table", [tables.hosts_table, tables.instances_table])
def test_an_empty_table_says_what_to_do(table: Callable[[list[Any]], RenderableType]) -> None:
    assert "mdsvc" in printed(table([]))


def everything(host: Host, instance: PlacedInstance) -> list[RenderableType]:
    return [
        tables.hosts_table([host]),
        tables.host_detail(host),
        tables.instances_table([instance]),
        tables.instance_detail(instance),
        host_map(host, [instance]),
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "koi8-r", "shift_jis"])
@pytest.mark.parametrize("width", [10, 80, 200])
def test_any_output_can_show_everything(host: Host, encoding: str, width: int) -> None:
    instance = replace(GUESTS[0], name="naïve 虚拟机 🚀" * 5)
    for what in everything(host, instance):
        text = printed(what, width, encoding)
        assert max(map(cell_len, text.splitlines())) <= width


def test_foreign_text_brings_neither_markup_nor_control_characters(host: Host) -> None:
    evil = "[bold]x[/] :rocket: \x1b]0;owned\x07\x9b31m\u202e"
    instance = replace(GUESTS[0], name=evil, project_id=evil)
    for what in everything(host, instance)[2:]:
        text = coloured(what, width=300)
        assert "[bold]x[/] :rocket: " in ESCAPE.sub("", text)
        assert not set("\x07\x9b\u202e") & set(text)
        assert "\x1b]" not in text
