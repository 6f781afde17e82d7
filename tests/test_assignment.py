"""Assignment of rows to columns, against trying every permutation."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.fitting.assignment import assign, blocking
from tests.promptly import promptly
from tests.strategies import THOROUGH

Row = list[int | None]
COSTS = st.one_of(st.none(), st.integers(0, 4), st.integers(0, 2**130))


@st.composite
def matrices(draw: st.DrawFn) -> list[Row]:
    """Up to five rows and six columns; some rows are one and the same list, as equal cells are."""
    columns = draw(st.integers(1, 6))
    row = st.lists(COSTS, min_size=columns, max_size=columns)
    rows = draw(st.lists(row, min_size=1, max_size=5))
    repeats = draw(st.lists(st.sampled_from(rows), max_size=5 - len(rows)))
    return draw(st.permutations([*rows, *repeats]))


def total(costs: list[Row], columns: tuple[int, ...] | list[int]) -> int | None:
    """What the assignment costs; None where it uses a forbidden pair."""
    chosen = [row[column] for row, column in zip(costs, columns, strict=True)]
    return None if None in chosen else sum(cost for cost in chosen if cost is not None)


def cheapest(costs: list[Row]) -> int | None:
    """The least cost of all permutations."""
    every = permutations(range(len(costs[0])), len(costs))
    return min(
        (cost for cost in (total(costs, p) for p in every) if cost is not None), default=None
    )


@THOROUGH
@given(matrices())
def test_the_assignment_is_the_cheapest_of_all(costs: list[Row]) -> None:
    found = assign(costs)
    if found is None:
        assert cheapest(costs) is None
        return
    assert len(set(found)) == len(found), "each row has a column of its own"
    assert total(costs, found) == cheapest(costs)


@THOROUGH
@given(matrices())
def test_rows_that_block_each_other_have_fewer_columns_than_they_are(costs: list[Row]) -> None:
    """Hall's theorem: such rows exist exactly where no assignment does."""
    found = blocking(costs)
    assert (found is None) == (cheapest(costs) is not None)
    if found is None:
        return
    rows, columns = found
    reachable = {at for row in rows for at, cost in enumerate(costs[row]) if cost is not None}
    assert sorted(reachable) == columns
    assert len(columns) < len(rows)
    assert rows == sorted(set(rows))


@pytest.mark.parametrize(
    ("costs", "rows", "columns"),
    [
        ([[None]], [0], []),
        ([[1], [1]], [0, 1], [0]),
        ([[1, 2], [None, None]], [1], []),
        ([[1, None, None], [1, 1, 1], [1, None, None]], [0, 2], [0]),
        ([[1, 1], [1, 1], [1, 1]], [0, 1, 2], [0, 1]),
    ],
)
def test_the_blocking_set_is_named(costs: list[Row], rows: list[int], columns: list[int]) -> None:
    assert blocking(costs) == (rows, columns)
    assert assign(costs) is None


@THOROUGH
@given(matrices())
def test_the_same_costs_give_the_same_assignment_and_are_left_alone(costs: list[Row]) -> None:
    before = [list(row) for row in costs]
    assert assign(costs) == assign(costs)
    assert costs == before


def test_free_rows_do_not_take_what_others_need() -> None:
    assert assign([[1, 2], [1, None]]) == [1, 0]
    assert assign([[1, 1, 9], [1, None, 9], [None, 1, None]]) == [2, 0, 1]


def test_of_equal_costs_the_first_columns_are_taken() -> None:
    row: Row = [3, 3, 3, 3]
    assert assign([row]) == [0]
    assert sorted(assign([row, row]) or []) == [0, 1]
    assert sorted(assign([list(row), list(row)]) or []) == [0, 1]


def test_a_hundred_rows_are_assigned_quickly() -> None:
    random = Random(1)
    costs: list[Row] = [
        [random.choice([None, random.getrandbits(100)]) for _ in range(100)] for _ in range(100)
    ]
    with promptly():
        assert assign(costs) is not None


def test_that_none_exists_is_found_quickly() -> None:
    """Where trying permutations would take for ever: 23 columns for 24 rows."""
    costs: list[Row] = [[None, *[1] * 23] for _ in range(24)]
    with promptly():
        assert blocking(costs) == (list(range(24)), list(range(1, 24)))
