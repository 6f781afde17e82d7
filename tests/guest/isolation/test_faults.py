"""Whatever cannot be written, be it once or from some moment on: the tool says so in a line, and an
undo afterwards leaves nothing behind.
"""

from __future__ import annotations

import errno

from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from tests.guest.fake import FakeGuest, snapshot
from tests.guest.killing import LAYOUT, apply, kept
from tests.guest.scenes import SCENES, Scene
from tests.guest.use import changed, command, scan

ERRORS = (errno.ENOSPC, errno.EBUSY, errno.EINVAL, errno.ENOMEM, errno.ENOENT)
STORIES = ("apply", "undo", "repartition")


def act(made: FakeGuest, story: str, scene: Scene) -> tuple[int, str]:
    if story == "undo":
        return command(made, "undo")
    made.disk.put(LAYOUT, "2-3" if story == "apply" else "1-2")
    flags = [f"--{name}={value}" for name, value in scene.settings.items()]
    return command(made, "apply", f"--source=file:{LAYOUT}", *flags)


@settings(max_examples=20, deadline=None)
@example("partition 6.1", "apply", 11, errno.ENOSPC, False)
@example("partition 6.1", "apply", 6, errno.ENOSPC, False)
@example("kubernetes 6.12", "undo", 16, errno.EINVAL, False)
@example("exempt, not there", "undo", 6, errno.ENOSPC, False)
@example("partition 7.2", "undo", 24, errno.ENOSPC, False)
@example("kubernetes 6.12", "repartition", 13, errno.EINVAL, False)
@given(
    st.sampled_from(sorted(SCENES)),
    st.sampled_from(STORIES),
    st.integers(1, 45),
    st.sampled_from(ERRORS),
    st.booleans(),
)
def test_what_fails_is_told_and_can_be_undone(
    name: str, story: str, number: int, error: int, lasting: bool
) -> None:
    scene = SCENES[name]
    made = scene.make()
    before = snapshot(made)
    if story != "apply":
        apply(made, "2-3", scene)
        scan(made)
    made.fail_at(number, error, lasting)
    status, said = act(made, story, scene)
    note(f"{status}: {said}")
    assert status in (0, 1, 3)
    made.count_anew()
    made.uptime += 180
    for _ in range(2):
        assert command(made, "undo")[0] == 0
    left = {name: values for name, values in changed(made, before).items() if kept(name)}
    assert left == {}
