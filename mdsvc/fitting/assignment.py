"""Minimum-cost assignment of rows to columns, each to one of its own.

Feasibility is a bipartite matching over bit masks (Kuhn 1955, augmenting paths); the cheapest one
is found by shortest augmenting paths with potentials (Jonker and Volgenant 1987). Costs are exact
integers of any size, which no floating-point solver offers.
"""

from __future__ import annotations

from collections.abc import Sequence

Costs = Sequence[Sequence[int | None]]
"""Rows by columns; None where the row cannot go to that column."""


def assign(costs: Costs) -> list[int] | None:
    """The column of each row with the least total cost, or None where no assignment exists."""
    first = costs[0]
    if all(row is first for row in costs):  # equal rows: the cheapest columns, in any order
        possible = [(cost, column) for column, cost in enumerate(first) if cost is not None]
        cheapest = sorted(possible)[: len(costs)]
        return [column for _, column in cheapest] if len(cheapest) == len(costs) else None
    if blocking(costs) is not None:
        return None
    known = [cost for row in costs for cost in row if cost is not None]
    forbidden = (max(known, default=0) + 1) * (len(costs) + 1)
    return _cheapest([[forbidden if c is None else c for c in row] for row in costs])


def blocking(costs: Costs) -> tuple[list[int], list[int]] | None:
    """Rows that have fewer columns among them than they are, and these columns (Hall 1935).

    None where every row can be assigned.
    """
    masks = [sum(1 << c for c, cost in enumerate(row) if cost is not None) for row in costs]
    row_of: dict[int, int] = {}
    for row in range(len(masks)):
        seen = _augment(row, masks, row_of)
        if seen is not None:
            columns = [column for column in row_of if seen >> column & 1]
            return sorted({row, *(row_of[column] for column in columns)}), sorted(columns)
    return None


def _augment(start: int, masks: list[int], row_of: dict[int, int]) -> int | None:
    """Give the row a column, moving others; else the mask of the columns it could reach."""
    seen = 0
    came_from: dict[int, int] = {}
    queue = [start]
    for row in queue:
        fresh = masks[row] & ~seen
        seen |= fresh
        while fresh:
            column = (fresh & -fresh).bit_length() - 1
            fresh &= fresh - 1
            came_from[column] = row
            if column not in row_of:
                _flip(column, came_from, row_of, start)
                return None
            queue.append(row_of[column])
    return seen


def _flip(column: int, came_from: dict[int, int], row_of: dict[int, int], start: int) -> None:
    """Hand the free column to the row that reached it, that row's old one on, and so on."""
    column_of = {row: column for column, row in row_of.items()}
    while True:
        row = came_from[column]
        row_of[column] = row
        if row == start:
            return
        column = column_of[row]


def _cheapest(costs: list[list[int]]) -> list[int]:
    """Shortest augmenting paths, one row at a time; index 0 stands for 'none yet'."""
    rows, columns = len(costs), len(costs[0])
    row_price, column_price = [0] * (rows + 1), [0] * (columns + 1)
    row_at = [0] * (columns + 1)
    for row in range(1, rows + 1):
        row_at[0] = row
        column, previous = _shortest_path(costs, row_at, row_price, column_price)
        while column:
            row_at[column] = row_at[previous[column]]
            column = previous[column]
    result = [0] * rows
    for column in range(1, columns + 1):
        if row_at[column]:
            result[row_at[column] - 1] = column - 1
    return result


def _shortest_path(
    costs: list[list[int]], row_at: list[int], row_price: list[int], column_price: list[int]
) -> tuple[int, list[int]]:
    """The free column that is nearest to the row at column 0, and the way to it."""
    columns = len(column_price)
    distance: list[int | None] = [None] * columns
    previous = [0] * columns
    done = [False] * columns
    column = 0
    while row_at[column]:
        done[column] = True
        row = row_at[column]
        for other in range(1, columns):
            if not done[other]:
                reduced = costs[row - 1][other - 1] - row_price[row] - column_price[other]
                known = distance[other]
                if known is None or reduced < known:
                    distance[other], previous[other] = reduced, column
        step, nearest = min(
            (d, other)
            for other, d in enumerate(distance)
            if other and d is not None and not done[other]
        )
        for other in range(columns):
            if done[other]:
                row_price[row_at[other]] += step
                column_price[other] -= step
            elif (d := distance[other]) is not None:
                distance[other] = d - step
        column = nearest
    return column, previous
