"""The operator's token, from the environment: on a command line, others could read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mdsvc.errors import BadInput

_TOKEN = re.compile(r"[\x21-\x7e]+")


def token_of(environ: Mapping[str, str]) -> str | None:
    """MDSVC_TOKEN, or what is in the file that MDSVC_TOKEN_FILE names. Raises BadInput."""
    if token := environ.get("MDSVC_TOKEN"):
        return _checked(token, "MDSVC_TOKEN")
    if file := environ.get("MDSVC_TOKEN_FILE"):
        source = f"MDSVC_TOKEN_FILE: {file}"
        try:
            return _checked(Path(file).read_text().strip(), source)
        except OSError as error:
            raise BadInput(f"{source}: {error.strerror}") from None
        except ValueError:  # no text, or no path
            raise BadInput(f"{source}: expected a file with a token in it") from None
    return None


def _checked(token: str, source: str) -> str:
    """What can stand in a header."""
    if not _TOKEN.fullmatch(token):
        raise BadInput(f"{source}: expected one token, of printable ASCII without spaces")
    return token
