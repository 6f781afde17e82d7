"""What is said of keys that nobody knows, wherever flavors and images are given (R28)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsvc.terminal.console import tell, unknown_keys

if TYPE_CHECKING:
    from mdsvc.policy.flavor import Flavor, Image
    from mdsvc.policy.unknown_keys import UnknownKeys


def warned(flavor: Flavor | None, image: Image | None) -> UnknownKeys:
    """Whether they are errors; where they are not, they are warned of on stderr."""
    from mdsvc.policy.unknown_keys import warnings

    on_unknown = unknown_keys()
    for text in warnings(flavor, image) if on_unknown == "warn" else ():
        tell(f"warning: {text}")
    return on_unknown
