"""mdguest runs wherever there is a Python 3.9: it needs nothing that does not come with that."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "guest-tools" / "mdguest"
SOURCES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}

each_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level names of the packages that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package"
            yield (node.module or "").partition(".")[0]


@each_source
def test_imports_only_the_standard_library(source: Path) -> None:
    foreign = set(imported(ast.parse(source.read_text()))) - sys.stdlib_module_names
    assert foreign <= {"mdguest"}


@each_source
def test_is_written_in_python_3_9(source: Path) -> None:
    ast.parse(source.read_text(), feature_version=(3, 9))


def test_the_cpu_list_grammar_is_the_servers_own_file() -> None:
    link = PACKAGE / "cpuset.py"
    assert link.is_symlink()
    assert link.resolve() == PACKAGE.parents[1] / "mdsvc" / "cpuset.py"
