"""What holds for each HTTP server that we ask: which addresses are plain, and how much is read."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:  # the settings are read by commands that ask nobody
    from aiohttp import StreamReader

__all__ = ["is_plain_url", "read_at_most"]


def is_plain_url(text: str, without: str) -> bool:
    """Is it http:// or https:// with a host, and has it none of these characters?"""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return False
    is_http = url.scheme in ("http", "https") and bool(url.hostname)
    sane = text.isascii() and text.isprintable() and " " not in text
    return is_http and sane and not set(without) & set(text)


async def read_at_most(content: StreamReader, largest: int) -> bytes | None:
    """A body, in bytes; None where there is more of it than that."""
    parts: list[bytes] = []
    size = 0
    async for part in content.iter_any():
        parts.append(part)
        size += len(part)
        if size > largest:
            return None
    return b"".join(parts)
