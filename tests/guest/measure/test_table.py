"""Reports as people see them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdguest.measure import Look, as_table, comparison_as_json, comparison_as_table
from mdguest.measure.compare import change
from mdguest.measure.metrics import duration, rate, share
from mdguest.measure.report import Report
from typing_extensions import override

from tests.guest.measure.reports import NOISY, QUIET, cpu

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wide", as_table(NOISY, Look(140))),
        ("narrow-ascii", as_table(NOISY, Look(80, unicode=False))),
        ("comparison", comparison_as_table(NOISY, QUIET, Look(100))),
    ],
)
def test_a_report_looks_as_it_did(name: str, text: str) -> None:
    assert text == (GOLDEN / f"{name}.txt").read_text()


@settings(max_examples=40, deadline=None)
@given(width=st.integers(60, 200))
def test_a_table_is_no_wider_than_the_terminal(width: int) -> None:
    _, table, legend, picture, *_ = as_table(NOISY, Look(width)).split("\n\n")
    lines = [line for part in (table, legend, picture) for line in part.splitlines()]
    assert max(map(len, lines)) <= width
    compared = comparison_as_table(NOISY, QUIET, Look(width)).splitlines()
    assert max(map(len, compared[:3])) <= width


def test_where_utf8_cannot_be_written_ascii_is() -> None:
    look = Look(unicode=False)
    assert as_table(NOISY, look).isascii()
    assert comparison_as_table(NOISY, QUIET, look).isascii()


def test_colour_changes_nothing_but_colour() -> None:
    coloured = as_table(NOISY, Look(colour=True))
    assert re.sub(r"\x1b\[[0-9]*m", "", coloured) == as_table(NOISY, Look())
    assert coloured != as_table(NOISY, Look())


class Terminal(io.TextIOWrapper):
    @override
    def isatty(self) -> bool:
        return True


def terminal(encoding: str) -> Terminal:
    return Terminal(io.BytesIO(), encoding=encoding)


def test_a_terminal_gets_colour_unless_no_color_is_set() -> None:
    assert Look.of(terminal("utf-8"), {}).colour
    assert not Look.of(terminal("utf-8"), {"NO_COLOR": "1"}).colour
    assert not Look.of(terminal("utf-8"), {"TERM": "dumb"}).colour
    assert not Look.of(io.StringIO(), {}).colour


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("utf-8", True), ("ascii", False), ("latin-1", False)]
)
def test_the_streams_encoding_decides_on_the_characters(encoding: str, unicode: bool) -> None:
    assert Look.of(terminal(encoding), {}).unicode is unicode


def test_bars_grow_with_their_values_and_zero_has_none() -> None:
    look = Look()
    lengths = [len(look.bar(value, 1000, 60)) for value in (0, 1, 10, 100, 1000)]
    assert lengths[0] == 0
    assert lengths == sorted(set(lengths))
    assert lengths[-1] == 60


def test_a_sparkline_grows_with_the_number_of_digits() -> None:
    assert Look().sparkline([100, 10, 1, 0, 0]) == "▃▂▁"
    assert Look().sparkline([0, 0, 10**12]) == "  █"
    assert Look(unicode=False).sparkline([100, 0, 1]) == "- ."


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (rate(0), "0"),
        (rate(0.4), "0.4"),
        (rate(249.7), "250"),
        (share(0), "0"),
        (share(0.004), "0.004"),
        (share(99.94), "99.9"),
        (duration(0.15), "0.1 µs"),
        (duration(12.0), "12 µs"),
        (duration(4120.0), "4.1 ms"),
        (duration(284026.7), "284 ms"),
        (duration(2.5e6), "2.5 s"),
    ],
)
def test_numbers_are_short(shown: str, expected: str) -> None:
    assert shown == expected


def test_steal_is_said_to_be_the_hosts() -> None:
    assert "the host took 30 ms of CPU 2; only it can mend that" in as_table(NOISY)
    assert "Steal:" not in as_table(QUIET)


def test_a_report_of_no_cpu_is_a_table_still() -> None:
    assert "Noise on 0 CPUs" in as_table(Report(1.0, 0, [], missing="9"))


def test_a_hundred_cpus_have_a_line_each() -> None:
    table = as_table(Report(1.0, 0, [cpu(number) for number in range(128)]))
    assert all(f"\n{number:>3}  shared" in table for number in range(128))


@pytest.mark.parametrize(
    ("before", "after", "ratio"),
    [(10.0, 1.0, 0.1), (0.0, 0.0, 1.0), (0.0, 3.0, None), (None, 3.0, None), (3.0, None, None)],
)
def test_a_ratio_is_there_where_it_has_a_meaning(
    before: float | None, after: float | None, ratio: float | None
) -> None:
    assert change(before, after) == (before, after, ratio)


def test_a_comparison_is_of_the_cpus_that_both_have() -> None:
    found = comparison_as_json(NOISY, QUIET)["cpus"]
    assert [row["cpu"] for row in found] == [0, 2]
    assert found[1]["worst_us"] == {"before": 800.0, "after": 8.0, "ratio": 0.01}
    assert comparison_as_table(Report(1.0, 0, []), QUIET).startswith("The two measurements have no")
