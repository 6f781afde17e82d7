"""What a doctor has found, as a table of clients and a list of what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from mdsvc.doctor import Report
from mdsvc.logs import one_line
from mdsvc.terminal.tables import columns
from mdsvc.terminal.words import Printable, plain


def boots_table(reports: Sequence[Report]) -> Printable:
    """The clients with what their boots cost and what they learn; then problems and notes."""
    table = columns("client", "works", ">requests", ">ms", "dedicated CPUs", "where!")
    for report in reports:
        table.add_row(
            plain(report.client, "bold"),
            "yes" if report.works else plain("NO", "bold"),
            str(report.requests),
            f"{report.seconds * 1000:.0f}",
            _cpus(report),
            plain(one_line(report.where or "")),
        )
    texts = [
        plain(one_line(f"{report.client}: {text}"))
        for report in reports
        for text in (*report.problems, *report.notes)
    ]
    return Printable(table, *texts)


def _cpus(report: Report) -> str:
    if report.where is None:
        return "not told"
    return one_line(report.dedicated_cpus or "none")
