"""The page's style, script and icon, as they are in the package. Each address has a sum in it."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

KINDS = {
    "icon.svg": "image/svg+xml",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}


@cache
def content_of(name: str) -> bytes:
    """The file's bytes, read once."""
    return files(__package__).joinpath(name).read_bytes()


@cache
def address_of(name: str) -> str:
    """Where the page has it."""
    return f"/assets/{name}?v={sha256(content_of(name)).hexdigest()[:12]}"
