"""How long to wait, for what, and how often to try again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _chance() -> float:
    import random

    return random.random()  # noqa: S311  # it spreads guests, and hides nothing


@dataclass(frozen=True)
class Patience:
    """Seconds, and numbers of attempts. The defaults bound a whole reading at ``total``.

    ``connect`` bounds one attempt to connect, ``request`` one request from its connection to the
    last byte of the answer, however steadily that drips, and ``total`` all of one reading.
    ``tries`` is how often a server that is there is asked in all, ``knocks`` how often one is that
    nobody answers for.
    """

    connect: float = 2.0
    request: float = 10.0
    total: float = 20.0
    tries: int = 3
    knocks: int = 3
    first_pause: float = 0.5
    longest_pause: float = 5.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = _chance

    def pause(self, failures: int, asked_for: float = 0.0) -> float:
        """How long to wait after so many failures: exponential back-off with full jitter.

        At least as long as the server ``asked_for``, as far as that is reasonable.
        """
        most = min(self.longest_pause, self.first_pause * 2.0 ** (failures - 1))
        return max(most * self.chance(), min(asked_for, self.longest_pause))


PATIENCE = Patience()
"""For a source that was named: whoever named it expects it to be there."""
