"""mdguest runs wherever there is a Python 3.9: it needs nothing that does not come with that."""

from __future__ import annotations

import ast
import shutil
import subprocess
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


def runs(python: str) -> bool:
    """Whether it is more than a name in PATH."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def pythons() -> list[str]:
    """The Python that runs this, and each 3.9 that is here."""
    installed = Path.home().glob(".pyenv/*/3.9.*/bin/python3.9")
    found = [shutil.which("python3.9") or sys.executable, *map(str, installed)]
    return [sys.executable, *filter(runs, found)]


IMPORT_ALL = """
import importlib, pathlib, sys
package = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(package.parent))
for path in sorted(package.rglob("*.py")):
    name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
    if not name.endswith("__main__"):
        importlib.import_module(name.removesuffix(".__init__"))
"""


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
def test_every_module_can_be_imported_by_the_oldest_python(python: str) -> None:
    command = [python, "-I", "-W", "error", "-c", IMPORT_ALL, str(PACKAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
