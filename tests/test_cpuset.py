"""The CPU list grammar, against sets of numbers that are written out one by one."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc import cpuset
from mdsvc.cpuset import EMPTY, MAX_CPU, CpuSet
from tests.reference.facts import format_cpus
from tests.strategies import QUICK, THOROUGH

NUMBERS = st.one_of(st.integers(0, 12), st.integers(0, 200), st.integers(8180, MAX_CPU))
SETS = st.frozensets(NUMBERS, max_size=40)
SPANS = st.one_of(NUMBERS.map(lambda n: (n, n)), st.tuples(NUMBERS, NUMBERS).map(sorted).map(tuple))
SPACE = st.sampled_from(["", "", " ", "\t"])


@st.composite
def elements(draw: st.DrawFn, sign: str = "") -> tuple[str, frozenset[int]]:
    """One `N` or `N-M`, with spaces around it and zeros before it, and what it means."""
    first, last = draw(SPANS)
    zero = draw(st.sampled_from(["", "0"]))
    text = f"{zero}{first}-{last}" if last > first or draw(st.booleans()) else f"{zero}{first}"
    return f"{draw(SPACE)}{sign}{text}{draw(SPACE)}", frozenset(range(first, last + 1))


LISTS = st.lists(elements(), max_size=8)


def union(parts: list[tuple[str, frozenset[int]]]) -> frozenset[int]:
    return frozenset[int]().union(*(cpus for _, cpus in parts))


def joined(parts: list[tuple[str, frozenset[int]]]) -> str:
    return ",".join(text for text, _ in parts)


# ---- the list form ----


@THOROUGH
@given(SETS)
def test_a_set_is_written_canonically_and_read_back(cpus: frozenset[int]) -> None:
    assert str(CpuSet.of(cpus)) == format_cpus(cpus)
    assert CpuSet.parse(format_cpus(cpus)) == CpuSet.of(cpus)
    assert CpuSet.parse_spec(format_cpus(cpus)) == CpuSet.of(cpus)


@THOROUGH
@given(LISTS)
def test_a_list_in_any_order_means_the_union_of_its_elements(
    parts: list[tuple[str, frozenset[int]]],
) -> None:
    assert set(CpuSet.parse(joined(parts))) == union(parts)
    assert CpuSet.parse_spec(joined(parts)) == CpuSet.parse(joined(parts))


@pytest.mark.parametrize(
    ("cpus", "text"),
    [
        ([], ""),
        ([0], "0"),
        ([0, 1], "0-1"),
        ([7, 3, 2, 1, 0], "0-3,7"),
        ([0, 2, 4], "0,2,4"),
        ([MAX_CPU], "8191"),
        (range(MAX_CPU + 1), "0-8191"),
    ],
)
def test_ranges_are_collapsed_and_ascending(cpus: list[int], text: str) -> None:
    assert str(CpuSet.of(cpus)) == text
    assert list(CpuSet.parse(text)) == sorted(cpus)


@pytest.mark.parametrize("text", ["", " ", "\n", "\t "])
def test_nothing_but_space_is_the_empty_set(text: str) -> None:
    assert CpuSet.parse(text) == CpuSet.parse_spec(text) == EMPTY
    assert str(EMPTY) == ""
    assert not EMPTY


MALFORMED = {
    "stray commas": [",", "0,", ",0", "0,,1", "0, ,1"],
    "no number": [
        "a",
        "0-a",
        "-",
        "0-",
        "-1",
        "0--1",
        "0-1-2",
        "0 1",
        "0:1",
        "0/2",
        "0-7:2/4",
        "0;1",
    ],
    "signs": ["+1", "0-+1", "-0", "−1"],
    "other bases and spellings": ["0x1", "0b1", "1_0", "1e1", "1.0", "0-0xf", "ff"],
    "other digits": ["٣", "0-٣", "１", "²", "੩", "1٣"],
    "too large": ["8192", "0-8192", "99999", "100000", "9" * 5000],
    "backwards": ["1-0", "8191-0", "0,3-2"],
    "exclusions of nothing": ["^^0", "^0^1", "0^"],
    "odd characters": ["0\0", "\0", "0\n1", "0-3\x1b", "\ud800", "0-3,\u200b4"],
}
MALFORMED_CASES = [(why, text) for why, texts in MALFORMED.items() for text in texts]


@pytest.mark.parametrize(("why", "text"), MALFORMED_CASES)
def test_what_is_malformed_is_refused_in_words(why: str, text: str) -> None:
    for read in (CpuSet.parse, CpuSet.parse_spec):
        with pytest.raises(ValueError, match=r" (in .*) (is|runs) ") as error:
            read(text)
        assert len(str(error.value)) < 400


@pytest.mark.parametrize("text", ["^", "0-3,^", "0-3,^x", "0-3,^3-2", "0-3,^ 2", "^8192"])
def test_malformed_exclusions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r" in "):
        CpuSet.parse_spec(text, CpuSet.first(4))


@pytest.mark.parametrize("text", ["^0", "0-3,^2", "^0-1"])
def test_the_kernels_list_form_knows_no_exclusions(text: str) -> None:
    with pytest.raises(ValueError, match="is no CPU number or range"):
        CpuSet.parse(text)


@THOROUGH
@given(st.one_of(st.text(max_size=12), st.text("0123456789-,^ ", max_size=12)))
def test_any_text_is_a_set_or_a_value_error(text: str) -> None:
    for read in (CpuSet.parse, CpuSet.parse_spec):
        try:
            found = read(text)
        except ValueError:
            continue
        assert CpuSet.parse(str(found)) == found
        assert all(char.isascii() or char.isspace() for char in text)


# ---- exclusions ----


@THOROUGH
@given(LISTS, st.lists(elements(sign="^"), max_size=4), st.randoms())
def test_an_exclusion_counts_wherever_it_stands(
    included: list[tuple[str, frozenset[int]]],
    excluded: list[tuple[str, frozenset[int]]],
    random: object,
) -> None:
    parts = [*included, *excluded]
    random.shuffle(parts)  # type: ignore[attr-defined]  # hypothesis gives a Random
    text = joined(parts)
    assert set(CpuSet.parse_spec(text)) == union(included) - union(excluded)


@THOROUGH
@given(st.lists(elements(sign="^"), min_size=1, max_size=4), st.integers(1, 64))
def test_a_text_that_starts_with_an_exclusion_is_all_but_that(
    excluded: list[tuple[str, frozenset[int]]], vcpus: int
) -> None:
    found = CpuSet.parse_spec(joined(excluded), CpuSet.first(vcpus))
    assert set(found) == set(range(vcpus)) - union(excluded)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("^0-1", "2-3"),
        ("^0,^2", "1,3"),
        ("^0-3", ""),
        ("^0-1,0-3,^0-1", "2-3"),
        ("0-2,^1", "0,2"),
        ("^7", "0-3"),
        ("^0,6", "1-3,6"),
    ],
)
def test_exclusions_of_four_vcpus(text: str, means: str) -> None:
    assert str(CpuSet.parse_spec(text, CpuSet.first(4))) == means


# ---- a set of numbers ----


@QUICK
@given(SETS, SETS, NUMBERS)
def test_it_behaves_as_pythons_sets_do(a: frozenset[int], b: frozenset[int], cpu: int) -> None:
    left, right = CpuSet.of(a), CpuSet.of(b)
    assert set(left & right) == a & b
    assert set(left | right) == a | b
    assert set(left - right) == a - b
    assert (left <= right) == (a <= b)
    assert (left == right) == (a == b)
    assert (cpu in left) == (cpu in a)
    assert -1 not in left
    assert (len(left), bool(left), list(left)) == (len(a), bool(a), sorted(a))
    assert {left: 1}[CpuSet.of(a)] == 1
    assert left != a
    assert set(left) == a, "operators return new sets"


@QUICK
@given(st.integers(0, MAX_CPU + 1))
def test_the_first_so_many(count: int) -> None:
    assert set(CpuSet.first(count)) == set(range(count))


@pytest.mark.parametrize("cpu", [-1, MAX_CPU + 1, 10**30])
def test_numbers_that_no_cpu_has_are_refused(cpu: int) -> None:
    with pytest.raises(ValueError, match="is not in 0-8191"):
        CpuSet.of([0, cpu])


def test_it_shows_itself_in_the_list_form() -> None:
    assert repr(CpuSet.of([0, 1, 2, 7])) == "CpuSet('0-2,7')"


# ---- the guest tool carries this file ----

SOURCE = Path(cpuset.__file__).read_text()


def test_python_3_9_can_read_the_file() -> None:
    tree = ast.parse(SOURCE, feature_version=(3, 9))
    first = tree.body[1]
    assert isinstance(first, ast.ImportFrom)
    assert first.module == "__future__", "else annotations like `X | None` are evaluated"


def test_python_3_9_can_run_the_file() -> None:
    """None of what built-in types and functions learnt in 3.10 and 3.11 is used."""
    tree = ast.parse(SOURCE)
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    assert not attributes & {"bit_count"}
    assert not keywords & {"strict", "slots", "kw_only"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match | ast.TryStar)]


def test_the_file_needs_the_standard_library_only() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            imported.add(node.module or "")
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
