"""Noise on each CPU: what kept a program from running there. Needs no tracer and no reboot.

report = measure(System(), Wanted(cpus, dedicated), place=into_the_slice)
print(as_table(report, Look.of(sys.stdout, os.environ)), end="")
"""

from __future__ import annotations

from mdguest.measure.compare import comparison_as_json, comparison_as_table
from mdguest.measure.files import check_writable, load, save
from mdguest.measure.look import Look
from mdguest.measure.narrate import Narrator
from mdguest.measure.report import Report, as_json, from_json
from mdguest.measure.run import Wanted, measure
from mdguest.measure.table import as_table

__all__ = [
    "Look",
    "Narrator",
    "Report",
    "Wanted",
    "as_json",
    "as_table",
    "check_writable",
    "comparison_as_json",
    "comparison_as_table",
    "from_json",
    "load",
    "measure",
    "save",
]
