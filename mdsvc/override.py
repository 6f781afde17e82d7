"""``override``, which Python has from 3.12 on; at run time it does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

__all__ = ["override"]

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import override
else:  # what has it is slow to import, and `mdsvc --help` needs nothing else of it

    def override(method: T) -> T:
        """The method, which overrides another one."""
        return method
