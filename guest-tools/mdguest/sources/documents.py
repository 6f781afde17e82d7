"""What is common to all sources: bytes from elsewhere to a set of CPUs, or one clear message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.layout import KEY, REALTIME, Layout, dedicated_cpus

if TYPE_CHECKING:
    from mdguest.cpuset import CpuSet
    from mdguest.system import System

MAX_BYTES = 1 << 20
"""Of a document. Nova's are a few kilobytes."""

META_DATA = "openstack/latest/meta_data.json"
"""Where Nova's document is, below a server's address or in a config drive."""

VENDOR_DATA = "openstack/latest/vendor_data2.json"
"""Where what the operator adds to it is."""

_MAX_DIGITS = 20
"""Of a number: all 64-bit ones have less, and reading longer ones takes quadratic time."""

_WITH = f'with "{KEY}"'

MARK = b"\xef\xbb\xbf"
"""A byte order mark, as some editors put it before a text that needs none."""


def json_object(data: bytes, where: str, having: str = _WITH) -> dict[str, Any]:
    """The JSON object in these bytes. Raises BadInput naming ``where`` they come from."""
    import json

    expected = f"expected a JSON object {having}"
    try:
        found = json.loads(
            unmarked(data).decode(),
            object_pairs_hook=_no_duplicates,
            parse_int=_short_int,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise BadInput(f"{where}: {expected}, got JSON that is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: {expected}, got bytes that are not UTF-8: {error}") from None
    except ValueError as error:
        raise BadInput(f"{where}: {expected}, got what is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadInput(f"{where}: {expected}, got {_kind(found)}")
    return found


def dedicated_of(found: dict[str, Any], where: str) -> CpuSet | None:
    """The dedicated CPUs of a document; None where it says nothing of them."""
    if KEY not in found:
        return None
    try:
        return dedicated_cpus(found[KEY], where)
    except RecursionError:  # what was just not too deep to be read may be to be shown
        raise BadInput(f"{where}: {KEY} is nested too deeply") from None


def layout_of(found: dict[str, Any], where: str, source: str, etag: str = "") -> Layout:
    """What a document says of this guest's CPUs."""
    realtime = dedicated_cpus(found.get(REALTIME) or "", where, REALTIME)
    return Layout(dedicated_of(found, where), source, etag, realtime=realtime)


def unmarked(data: bytes) -> bytes:
    """The same without a byte order mark."""
    return data.removeprefix(MARK)


def plain_text(data: bytes, where: str) -> str:
    """A CPU list as text, without the white space around it."""
    try:
        return unmarked(data).decode().strip()
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: expected a CPU list, got no text: {error}") from None


def read_file(system: System, path: str, limit: int = MAX_BYTES) -> bytes:
    """A file of moderate size.

    Raises Unreachable where it is not there, Unavailable where it cannot be read.
    """
    try:
        data = system.read_bytes(path, limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise Unreachable(f"{path}: no such file") from None
    except IsADirectoryError:
        raise BadInput(f"{path}: expected a file, got a directory") from None
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None
    if len(data) > limit:
        raise BadInput(f"{path}: expected at most {limit} bytes")
    return data


def shown(text: str, most: int = 80) -> str:
    """Text from elsewhere as it appears in a message: quoted, and cut where it is long."""
    return repr(text if len(text) <= most else text[: most - 3] + "...")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice has two meanings, and readers differ in which one they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} stands twice in one object")
    return found


def _short_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")


def _kind(value: object) -> str:
    kinds = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
