"""SIGKILL at the steps of every plan of mdguest: each mode on each kernel it knows.

Plans are much alike, so each is killed at every third step, and the next one at those beside them;
with MDGUEST_KILLS=all each at every step, which takes five minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.guest.killing import STORIES
from tests.guest.scenes import SCENES, Scene

EVERY = 1 if os.environ.get("MDGUEST_KILLS") == "all" else 3


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize(("turn", "scene"), list(enumerate(SCENES.values())), ids=SCENES)
def test_a_kill_anywhere_can_be_completed_and_reverted(
    story: Callable[[Scene, slice], None], turn: int, scene: Scene
) -> None:
    story(scene, slice(turn % EVERY, None, EVERY))
