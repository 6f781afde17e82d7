"""What all commands share: their options, reading input, printing results, exit codes.

Every command and every `--help` imports this, so what only some of it needs is imported there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from mdsvc.cpuset import CpuSet
from mdsvc.override import override

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from mdsvc.policy.unknown_keys import UnknownKeys
    from mdsvc.settings import Settings
    from mdsvc.store import Store
    from mdsvc.store.listing import Listing

T = TypeVar("T")

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


class _HostNameType(click.ParamType[str]):
    name = "host"

    @override
    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        from mdsvc.names import HOST_NAME_WORDS, is_host_name

        name = str(value)
        if not is_host_name(name):
            self.fail(f"{name[:60]!r}: expected {HOST_NAME_WORDS}", param, ctx)
        return name


CPUS = _CpuSetType()
HOST_NAME = _HostNameType()
"""Of a host that need not be registered; which none can have is bad usage, wherever it is asked."""

INPUT = click.Path(path_type=Path, allow_dash=True)


def remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """The callback of an option that the functions here read, and no command is given."""
    context.meta[f"mdsvc.{parameter.name}"] = value


def remembered(name: str) -> Any:
    """What such an option was given; None where it was not."""
    return click.get_current_context().meta.get(f"mdsvc.{name}")


store_option = click.option(
    "--store",
    metavar="URL",
    expose_value=False,
    callback=remember,
    help="Where hosts and guests are kept: sqlite:///relative.db, sqlite:////absolute.db, "
    "postgresql://USER@HOST:PORT/DB or mysql://USER@HOST1:PORT1,HOST2:PORT2/DB. "
    "[env: MDSVC_STORE; default: sqlite:///mdsvc.db]",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    expose_value=False,
    callback=remember,
    help="Print JSON, for programs.",
)

strict_option = click.option(
    "--strict",
    "unknown_keys",
    is_flag=True,
    expose_value=False,
    callback=remember,
    help="Unknown keys of flavor and image are errors. [env: MDSVC_UNKNOWN_KEYS=error]",
)


def examples(*lines: str) -> str:
    """An epilog; the mark keeps click from wrapping it."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def settings(
    flags: Mapping[str, Any], config: Path | None = None, only: Collection[str] | None = None
) -> Settings:
    """The settings with these flags and --store; MDSVC_CONFIG can name the file too."""
    from mdsvc.settings import ALL_SETTINGS, load

    named = os.environ.get("MDSVC_CONFIG")
    flags = {"store": remembered("store"), **flags}
    return load(
        config or (Path(named) if named else None),
        os.environ,
        flags,
        ALL_SETTINGS if only is None else only,
    )


def unknown_keys() -> UnknownKeys:
    """Whether unknown keys are errors: by --strict, or by this setting, whatever others are."""
    strict = "error" if remembered("unknown_keys") else None
    return settings({"unknown_keys": strict}, only=("unknown_keys",)).unknown_keys


def _store_url() -> str:
    """That of the flag, the environment or the default; but who has set a server alone has not
    meant the default. Raises UsageError.
    """
    named = remembered("store") or os.environ.get("MDSVC_STORE") or os.environ.get("MDSVC_CONFIG")
    if os.environ.get("MDSVC_SERVER") and not named:
        raise click.UsageError("expected --store: this works on the store, not over MDSVC_SERVER")
    return settings({}).store


def use(use_case: Callable[[Store], Awaitable[T]]) -> T:
    """Run a use case on the store of the flag, the environment or the default."""
    import asyncio

    from mdsvc.store.opening import open_store

    async def run() -> T:
        store = await open_store(_store_url())
        try:
            return await use_case(store)
        finally:
            await store.close()

    return asyncio.run(run())


def use_url(use_case: Callable[[str], Awaitable[T]]) -> T:
    """Run a use case on the URL of the store, which it opens in its own way."""
    import asyncio

    async def run() -> T:
        return await use_case(_store_url())

    return asyncio.run(run())


def open_input(file: Path) -> BinaryIO:
    """The file, or stdin for ``-``. Raises BadInput."""
    if str(file) == "-":
        if sys.stdin.closed:
            raise _bad_input("-: expected once, as stdin can be read only once")
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise _bad_input(f"{file}: {error.strerror}") from None


def read(file: Path) -> bytes:
    """All of the file, or of stdin. Raises BadInput."""
    with open_input(file) as stream:
        try:
            data = stream.read(_MAX_FILE + 1)
        except OSError as error:
            raise _bad_input(f"{file}: {error.strerror}") from None
    if len(data) > _MAX_FILE:
        raise _bad_input(f"{file}: expected at most {_MAX_FILE} bytes")
    return data


def _bad_input(message: str) -> Exception:
    from mdsvc.errors import BadInput

    return BadInput(message)


def terminal() -> Console:
    """Where people read. In a pipe there is no width to fit into, so tables keep theirs."""
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    wide = int(columns) if columns.isdecimal() and len(columns) < 5 else 0
    return Console(width=None if sys.stdout.isatty() else wide or 120, highlight=False)


def show(value: object, *views: RenderableType | Callable[[], RenderableType]) -> None:
    """Print a result: the views; with ``--json``, or without views, the value as one line.

    A view is what rich prints, made when it is needed where it is a function; or text, printed as
    it is: its lines may be commands.
    """
    if remembered("as_json") or not views:
        _write(_json_line(value))
        return
    for view in views:
        if isinstance(view, str):
            click.echo(view)
        else:
            terminal().print(view() if callable(view) else view)


def tell(message: str) -> None:
    """One line on stderr, beside a result."""
    from mdsvc.logs import one_line

    click.echo(f"mdsvc: {one_line(message)}", err=True)


def tell_damaged(listing: Listing[Any]) -> int:
    """Of a listing that was shown, what could not be read; and the exit code."""
    for damaged in listing.damaged:
        tell(str(damaged))
    return 1 if listing.damaged else 0


def show_bytes(data: bytes, value: object) -> None:
    """Print bytes that somebody else has written as they are; with ``--json``, the value.

    A terminal gets no control characters of theirs.
    """
    from mdsvc.logs import one_line

    if remembered("as_json"):
        data = _json_line(value)
    elif data and sys.stdout.isatty():
        data = one_line(data.decode(errors="backslashreplace")).encode() + b"\n"
    _write(data)


def _json_line(value: object) -> bytes:
    """The name of a file may be no UTF-8: it is escaped then, so that Python reads it as it is."""
    from mdsvc.forms import to_builtins, to_json

    try:
        return to_json(value) + b"\n"
    except UnicodeEncodeError:
        import json

        return json.dumps(to_builtins(value), separators=(",", ":")).encode() + b"\n"


def _write(data: bytes) -> None:
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
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # then whoever read it is gone
            tell(str(error))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left of it
        return 1
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        tell(str(error))
        return code
    return result if isinstance(result, int) else 0


def _exit_code(error: Exception) -> int | None:
    """That of an error which the user is told about; None for any other."""
    from mdsvc import errors

    codes = {
        errors.BadInput: 2,
        errors.InvalidRequest: 2,
        errors.Refused: 3,
        errors.NotFound: 4,
        errors.MdsvcError: 1,
    }
    return next((codes[kind] for kind in type(error).__mro__ if kind in codes), None)


def _open_closed_streams() -> None:
    """A caller may have closed them; what is missing reads as empty, and swallows what is said."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  # to the end
