"""Guests' lives, by processes that are killed at any moment, and by several at once.

What was acknowledged is there, the books are true, and the store opens. MDSVC_KILLS=N kills N times
in the midst of each operation, for the long form.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.crash.accounts import damage
from tests.crash.killing import fill, kill_in_the_midst, live_together
from tests.crash.lives import OPERATIONS

KILLS = int(os.environ.get("MDSVC_KILLS", "12"))


@pytest.fixture
def url(file: Path) -> str:
    """A store with three hosts."""
    url = f"sqlite:///{file}"
    fill(url)
    return url


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_in_the_midst_of_it_leaves_it_done_or_not(
    operation: str, url: str, file: Path, tmp_path: Path
) -> None:
    def whole() -> None:
        assert damage(file) == []

    kill_in_the_midst(url, tmp_path, operation, KILLS, whole)


def test_of_lives_at_the_same_time_no_change_is_lost(url: str, tmp_path: Path) -> None:
    live_together(url, tmp_path)
