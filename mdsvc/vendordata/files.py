"""The files that vendor data are set up by: the static document, and the secret of the targets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mdsvc.errors import BadInput
from mdsvc.forms import from_json

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): *(\S.*)")  # RFC 9110, 5.1


def static_data(path: Path) -> dict[str, Any]:
    """The document that every guest gets. Raises BadInput."""
    setting = "vendor_data"
    text = _read(path, setting)
    try:
        return from_json(text, dict[str, Any])
    except BadInput as error:
        raise BadInput(f"{setting}: {path}: {error}") from None


def secret_header(path: Path) -> dict[str, str]:
    """What targets know us by: a file with a bearer token, or a header as ``NAME: VALUE``.

    Raises BadInput, which never shows what the file has.
    """
    setting = "vendordata_dynamic_token_file"
    try:
        text = _read(path, setting).decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not (text.isascii() and text.isprintable()) or not text:
        expected = "expected one line: a token, or a header as NAME: VALUE"
        raise BadInput(f"{setting}: {path}: {expected}")
    header = _HEADER.fullmatch(text)
    return {header[1]: header[2]} if header else {"Authorization": f"Bearer {text}"}


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{setting}: {path}: {error.strerror}") from None
