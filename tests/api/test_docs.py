"""docs/api.md lists just the calls that there are.

``python -m tests.api.test_docs`` writes its table.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from mdsvc.api import ROUTES
from mdsvc.api.route import Route

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
BEGIN = "<!-- made by tests/api/test_docs.py from mdsvc/api/routes.py -->\n"
END = "<!-- end -->\n"


def table() -> str:
    """What stands between the marks."""
    rows = ["| call | does | answers | errors of its own |", "|---|---|---|---|"]
    return "\n".join(["", *rows, *map(_row, ROUTES), "", ""])


def _row(route: Route) -> str:
    fields = msgspec.structs.fields(route.query)
    query = "?" + "&".join(f"{field.encode_name}=" for field in fields) if fields else ""
    does = " ".join((route.handler.__doc__ or "").split())
    answers = ", ".join(map(str, route.answers))
    errors = ", ".join(f"`{code}`" for code in route.errors)
    return f"| `{route.method} {route.path}{query}` | {does} | {answers} | {errors} |"


def test_the_calls_are_those_of_the_table() -> None:
    before, rest = DOCS.read_text().split(BEGIN)
    assert before
    assert rest.partition(END)[0] == table()


if __name__ == "__main__":
    before, rest = DOCS.read_text().split(BEGIN)
    DOCS.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
