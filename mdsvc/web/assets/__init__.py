"""The page's style and script, as they are in the package. Their addresses change with them."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

KINDS = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


@cache
def content_of(name: str) -> bytes:
    """The file's bytes, read once."""
    return files(__package__).joinpath(name).read_bytes()


@cache
def address_of(name: str) -> str:
    """Where the page has it."""
    return f"/assets/{name}?v={sha256(content_of(name)).hexdigest()[:12]}"
