"""SIGKILL at every step of a plan: ``apply`` completes what was begun, ``undo`` reverts it.

These are some modes and kernels; tests/crash has them all.
"""

from __future__ import annotations

import pytest

from tests.guest import killing
from tests.guest.scenes import SCENES, Scene

SOME = ("quiet partition", "quiet fence", "raw 6.1", "exempt, not there")

each_scene = pytest.mark.parametrize("scene", [SCENES[name] for name in SOME], ids=SOME)


@each_scene
def test_apply_completes_an_apply_that_was_killed_anywhere(scene: Scene) -> None:
    killing.apply_then_apply(scene)


@each_scene
def test_undo_reverts_an_apply_that_was_killed_anywhere(scene: Scene) -> None:
    killing.apply_then_undo(scene)


@each_scene
def test_undo_completes_an_undo_that_was_killed_anywhere(scene: Scene) -> None:
    killing.undo_then_undo(scene)


@each_scene
def test_apply_follows_an_undo_that_was_killed_anywhere(scene: Scene) -> None:
    killing.undo_then_apply(scene)


@each_scene
def test_apply_completes_a_repartition_that_was_killed_anywhere(scene: Scene) -> None:
    killing.repartition_then_apply(scene)
