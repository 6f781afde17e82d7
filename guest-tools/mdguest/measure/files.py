"""Reports in files: ``--save`` and ``--compare``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mdguest.errors import BadInput, NotFound, Trouble
from mdguest.measure.report import Report, as_json, from_json
from mdguest.system import is_special

if TYPE_CHECKING:
    from mdguest.system import System


def check_writable(path: str) -> None:
    """Raise Trouble where no report could be saved, before it takes the time to make one."""
    target = Path(path)
    if target.is_dir():
        raise Trouble(f"{path}: cannot be written: it is a directory")
    try:
        is_special(target)
    except OSError as error:
        raise Trouble(f"{path}: cannot be written: {error.strerror}") from None
    folder = target.resolve().parent
    if not target.exists() and not folder.is_dir():
        raise Trouble(f"{path}: cannot be written: no directory {folder}")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise Trouble(f"{path}: cannot be written: permission denied")


def save(system: System, path: str, report: Report) -> None:
    """Put the report into a file, whole or not at all."""
    try:
        system.export(path, json.dumps(as_json(report), indent=1) + "\n")
    except OSError as error:
        raise Trouble(f"{path}: cannot be written: {error.strerror}") from error


def load(system: System, path: str) -> Report:
    """Read a report that was saved. Raises NotFound or BadInput."""
    try:
        text = system.read(path)
    except OSError as error:
        raise NotFound(f"{path}: cannot be read: {error.strerror}") from error
    try:
        value = json.loads(text)
    except RecursionError:
        raise BadInput(f"{path}: is nested too deeply") from None
    except ValueError as error:
        raise BadInput(f"{path}: is not JSON: {error}") from error
    return from_json(value, path)
