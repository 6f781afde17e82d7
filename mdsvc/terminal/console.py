"""What all commands share: their options, reading input, printing results, exit codes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click
from rich.console import Console, RenderableType
from rich.text import Text
from typing_extensions import override

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput, InvalidRequest, MdsvcError, NotFound, Refused
from mdsvc.forms import to_json
from mdsvc.logs import one_line
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.settings import ALL_SETTINGS, Settings, load
from mdsvc.store import Store
from mdsvc.store.opening import open_store

T = TypeVar("T")

_EXIT_CODES: dict[type[MdsvcError], int] = {
    BadInput: 2,
    InvalidRequest: 2,
    Refused: 3,
    NotFound: 4,
    MdsvcError: 1,
}
_MAX_FILE = 64 * 1024 * 1024


class _CpuSetType(click.ParamType[CpuSet]):
    name = "cpus"

    @override
    def convert(self, value: Any, param: Any, ctx: Any) -> CpuSet:
        if isinstance(value, CpuSet):
            return value
        try:
            return CpuSet.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


CPUS = _CpuSetType()
INPUT = click.Path(path_type=Path, allow_dash=True)


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    context.meta[f"mdsvc.{parameter.name}"] = value


def _remembered(name: str) -> Any:
    return click.get_current_context().meta.get(f"mdsvc.{name}")


store_option = click.option(
    "--store",
    metavar="URL",
    expose_value=False,
    callback=_remember,
    help="Where hosts and guests are kept: sqlite:///relative.db, sqlite:////absolute.db, "
    "postgresql://USER@HOST:PORT/DB or mysql://USER@HOST1:PORT1,HOST2:PORT2/DB. "
    "[env: MDSVC_STORE; default: sqlite:///mdsvc.db]",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Print JSON, for programs.",
)

strict_option = click.option(
    "--strict",
    "unknown_keys",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Unknown keys of flavor and image are errors. [env: MDSVC_UNKNOWN_KEYS=error]",
)


def examples(*lines: str) -> str:
    """An epilog; the mark keeps click from wrapping it."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def settings(
    flags: Mapping[str, Any], config: Path | None = None, only: Collection[str] = ALL_SETTINGS
) -> Settings:
    """The settings with these flags and --store; MDSVC_CONFIG can name the file too."""
    named = os.environ.get("MDSVC_CONFIG")
    flags = {"store": _remembered("store"), **flags}
    return load(config or (Path(named) if named else None), os.environ, flags, only)


def unknown_keys() -> UnknownKeys:
    """Whether unknown keys are errors: by --strict, or by this setting, whatever others are."""
    strict = "error" if _remembered("unknown_keys") else None
    return settings({"unknown_keys": strict}, only=("unknown_keys",)).unknown_keys


def use(use_case: Callable[[Store], Awaitable[T]]) -> T:
    """Run a use case on the store of the flag, the environment or the default."""

    async def run() -> T:
        store = await open_store(settings({}).store)
        try:
            return await use_case(store)
        finally:
            await store.close()

    return asyncio.run(run())


def use_url(use_case: Callable[[str], Awaitable[T]]) -> T:
    """Run a use case on the URL of the store, which it opens in its own way."""

    async def run() -> T:
        return await use_case(settings({}).store)

    return asyncio.run(run())


def open_input(file: Path) -> BinaryIO:
    """The file, or stdin for ``-``. Raises BadInput."""
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from None


def read(file: Path) -> bytes:
    """All of the file, or of stdin. Raises BadInput."""
    with open_input(file) as stream:
        try:
            data = stream.read(_MAX_FILE + 1)
        except OSError as error:
            raise BadInput(f"{file}: {error.strerror}") from None
    if len(data) > _MAX_FILE:
        raise BadInput(f"{file}: expected at most {_MAX_FILE} bytes")
    return data


def terminal() -> Console:
    """Where people read. In a pipe there is no width to fit into, so tables keep theirs."""
    columns = os.environ.get("COLUMNS", "")
    wide = int(columns) if columns.isdecimal() and len(columns) < 5 else 0
    return Console(width=None if sys.stdout.isatty() else wide or 120, highlight=False)


def show(value: object, *tables: RenderableType) -> None:
    """Print a result: the tables; with ``--json``, or without tables, the value as one line.

    The lines of a text are not broken, as they may be commands.
    """
    if _remembered("as_json") or not tables:
        sys.stdout.buffer.write(to_json(value) + b"\n")
        sys.stdout.buffer.flush()
        return
    console = terminal()
    for table in tables:
        console.print(table, soft_wrap=isinstance(table, Text))


def tell(message: str) -> None:
    """One line on stderr, beside a result."""
    click.echo(f"mdsvc: {one_line(message)}", err=True)


def show_bytes(data: bytes, value: object) -> None:
    """Print bytes that somebody else has written as they are; with ``--json``, the value.

    A terminal gets no control characters of theirs.
    """
    if _remembered("as_json"):
        data = to_json(value) + b"\n"
    elif data and sys.stdout.isatty():
        data = one_line(data.decode(errors="backslashreplace")).encode() + b"\n"
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def run(command: click.Command) -> int:
    """Run the command; errors become one message and an exit code, never a traceback."""
    _open_closed_streams()
    try:
        result = command.main(standalone_mode=False, prog_name="mdsvc")
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except MdsvcError as error:
        tell(str(error))
        return next(_EXIT_CODES[kind] for kind in type(error).__mro__ if kind in _EXIT_CODES)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # then whoever read it is gone
            tell(str(error))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left of it
        return 1
    return result if isinstance(result, int) else 0


def _open_closed_streams() -> None:
    """A caller may have closed them; what is missing reads as empty, and swallows what is said."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  # to the end
