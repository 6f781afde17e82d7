"""Reports in files: ``--save`` and ``--compare``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mdguest.errors import BadInput, NotFound, Trouble
from mdguest.measure.report import Report, as_json, from_json

if TYPE_CHECKING:
    from mdguest.system import System


def save(system: System, path: str, report: Report) -> None:
    """Put the report into a file, whole or not at all."""
    try:
        system.save(path, json.dumps(as_json(report), indent=1) + "\n")
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
    except ValueError as error:
        raise BadInput(f"{path}: is not JSON: {error}") from error
    return from_json(value, path)
