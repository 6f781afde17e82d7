"""The house rules, held: layers, a core without I/O, small files and functions, nothing stray."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mdsvc"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "guest-tools").rglob("*.py")])

MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def tracked() -> list[Path]:
    """Every file of the project, those too that are not yet committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    files = (ROOT / name for name in listed.split("\0") if name)
    return [file for file in files if file.is_file()]


# ---- layers ----


def layers(package: str = "mdsvc") -> list[list[str]]:
    """The modules of each layer of a package, from top to bottom."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = config["tool"]["importlinter"]["contracts"]
    [lists] = [found["layers"] for found in contracts if found.get("containers") == [package]]
    return [re.findall(r"\w+", layer) for layer in lists]


def test_each_layer_imports_only_from_below() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "package", [PACKAGE, ROOT / "guest-tools" / "mdguest"], ids=["mdsvc", "mdguest"]
)
def test_the_layers_name_every_module_once_and_no_other(package: Path) -> None:
    named = [module for layer in layers(package.name) for module in layer]
    there = {path.stem for path in package.iterdir() if path.suffix == ".py"}
    there |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert len(set(named)) == len(named)
    assert there - {"__init__", "__main__"} == set(named)


# ---- the core ----

NO_CORE = ("aiohttp", "asyncio", "pyroute2", "rich", "select", "socket", "sqlalchemy", "sqlite3",
           "subprocess", "threading")  # fmt: skip


def core() -> list[str]:
    """The modules from `instance` down: no I/O, and not async."""
    found = layers()
    first = next(at for at, layer in enumerate(found) if "instance" in layer)
    return [module for layer in found[first:] for module in layer]


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The packages that are imported, wherever that is."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("name", core())
def test_the_core_does_no_io_and_is_not_async(name: str) -> None:
    files = [*PACKAGE.glob(f"{name}.py"), *PACKAGE.glob(f"{name}/**/*.py")]
    assert files
    nodes = [node for file in files for node in ast.walk(tree(file))]
    assert set(imports(nodes)).isdisjoint(NO_CORE)
    for node in nodes:
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input", "exec", "eval")


def test_the_core_brings_no_io_in_with_it() -> None:
    """Not by what it imports either."""
    script = f"import sys, {', '.join(f'mdsvc.{name}' for name in core())}; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint({"aiohttp", "asyncio", "pyroute2", "sqlalchemy"})


def test_the_cpu_list_grammar_needs_only_an_old_standard_library() -> None:
    """The guest tool carries this file, to wherever there is a Python 3.9."""
    file = PACKAGE / "cpuset.py"
    assert set(imports(ast.walk(tree(file)))) <= sys.stdlib_module_names
    ast.parse(file.read_text(), feature_version=(3, 9))


# ---- sizes ----


def python_files() -> list[Path]:
    return [file for file in tracked() if file.suffix == ".py"]


def test_no_merge_was_left_half_done() -> None:
    marks = re.compile(rb"^(<{7}|>{7}|\|{7}) ", re.MULTILINE)
    assert [name_of(file) for file in tracked() if marks.search(file.read_bytes())] == []


def test_no_file_is_too_long() -> None:
    lengths = {name_of(file): len(file.read_text().splitlines()) for file in python_files()}
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{name_of(file)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in python_files()
        for node in ast.walk(tree(file))
        if isinstance(node, Function)
    }
    assert len(lengths) > 100
    assert {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION} == {}


def test_how_long_something_took_of_the_cpu_is_judged_in_one_place_of_the_tests() -> None:
    """By limits that a busy machine does not reach: how fast things are is measured by bench/."""
    clock = joined("process", "_time")
    asking = [name_of(file) for file in python_files() if clock in file.read_text()]
    assert [name for name in asking if name.startswith("tests/")] == ["tests/promptly.py"]


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_every_module_says_what_it_is(file: Path) -> None:
    assert not file.read_text() or ast.get_docstring(tree(file))


SUPPRESSION = re.compile(r"# (?:noqa|type: ignore|pragma: no cover)")
WITH_REASON = re.compile(r"# (?:noqa|type: ignore|pragma: no cover)[^#]*?(?:  #| - ) *\S")


@pytest.mark.parametrize("file", SOURCES, ids=name_of)
def test_every_suppression_carries_its_reason(file: Path) -> None:
    lines = [line.strip() for line in file.read_text().splitlines() if SUPPRESSION.search(line)]
    assert [line for line in lines if not WITH_REASON.search(line)] == []


# ---- nothing of one machine ----


def joined(*parts: str) -> str:
    """A text that this file does not contain."""
    return "".join(parts)


STRAY = {
    "a path of one machine": joined(r"(?<![\w.])/", r"(work/(main|shared)|ro", r"ot/|home/\w)"),
    "a Python of one machine": joined("py", r"env/versions"),
    "a package index": joined(r"\b(pypi", r"\.org|python", r"hosted\.org|registry\.", r"npm)"),
    "a local package index": joined("/opt/", "(wheels|py", "pi)"),
}


@pytest.mark.parametrize("pattern", STRAY.values(), ids=STRAY)
def test_nothing_of_one_machine_is_in_the_project(pattern: str) -> None:
    found = {}
    for file in tracked():
        text = file.read_bytes().decode(errors="replace")
        lines = [line for line in text.splitlines() if re.search(pattern, line)]
        if lines:
            found[name_of(file)] = lines
    assert found == {}


def test_what_is_stray_would_be_found() -> None:
    """The patterns above match what they are for."""
    samples = (
        joined("cd /wo", "rk/main"),
        joined("/ro", "ot/.py", "env/versions/3"),
        joined("https://py", "pi.org/simple"),
        joined("file:///opt/py", "pi"),
    )
    for pattern, sample in zip(STRAY.values(), samples, strict=True):
        assert re.search(pattern, sample)
