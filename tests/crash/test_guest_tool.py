"""SIGKILL at every step of every plan of mdguest: each mode on each kernel it knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.guest.killing import STORIES
from tests.guest.scenes import SCENES, Scene


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_kill_anywhere_can_be_completed_and_reverted(
    story: Callable[[Scene], None], scene: Scene
) -> None:
    story(scene)
