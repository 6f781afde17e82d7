"""What is known of a kind of setting: the form of the rows in ``KINDS``.

Values are text, so that the journal can keep them: CPU sets in list form, whatever form the kernel
wants. A value of None is a file or cgroup that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Callable, NamedTuple, Protocol

from mdguest.cpuset import CpuSet

if TYPE_CHECKING:
    from mdguest.facts import Task
    from mdguest.system import System


class Fate(Enum):
    """What a change that failed means."""

    FAILED = "failed"
    """It is an error; another try may help."""
    GONE = "gone"
    """There is nothing left to set."""
    IMMOVABLE = "immovable"
    """Nobody can set it, and nobody has to: a note is enough."""
    CROWDED = "crowded"
    """It is an error, and another try in the same run would not help."""


class Failure(NamedTuple):
    """A change that failed: what that means, and what to say of it."""

    fate: Fate
    message: str


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be."""

    what: str
    found: str
    expected: str
    why: str
    heals: bool = True
    """Whether apply can put it right; else somebody has to do what ``why`` says."""

    @property
    def line(self) -> str:
        return f"{self.what}: {self.found}, expected {self.expected}: {self.why}"


class Seen(Protocol):
    """What the facts have of a kind beyond its value: an object of a class of its own."""

    def problems(self, dedicated: CpuSet) -> Iterable[Problem]:
        """What is wrong with it while these CPUs are isolated, and only somebody else can mend."""


class Ability(NamedTuple):
    """One thing that this guest can or cannot do: None where only a try would tell."""

    name: str
    able: bool | None
    says: str


def same_text(one: str | None, other: str | None) -> bool:
    return one == other


def same_cpus(one: str | None, other: str | None) -> bool:
    """Whether both are the same set of CPUs; what is no list is no set."""
    try:
        return CpuSet.parse(one or "") == CpuSet.parse(other or "")
    except ValueError:
        return False


def _failed(error: OSError, want: str | None) -> Failure:
    return Failure(Fate.FAILED, error.strerror or str(error))


def _nothing(system: System, target: str, want: str | None, moved: bool) -> None:
    pass


class Kind(NamedTuple):
    """One kind of setting; what is not said of it is so of most. ``target`` says which one."""

    read: Callable[[System, str], str | None]
    """What it reads now. Raises OSError."""
    write: Callable[[System, str, str | None], None]
    """Raises OSError."""
    same: Callable[[str | None, str | None], bool]
    """Whether two values are the same setting."""
    failure: Callable[[OSError, str | None], Failure] = _failed
    """What it means that this value could not be written."""
    unit: Callable[[str], str] = lambda target: ""
    """The systemd unit whose setting it is, and with which it goes; empty for others."""
    name: Callable[[str], str] = lambda target: target
    """What one is called in the state, where it could not be set."""
    moves_tasks: bool = False
    """Its change moves tasks, and before Linux 6.2 loses their affinities: it is of cpusets."""
    of_a_task: bool = False
    """It goes with its task, which may choose anew, and loses it by a cpuset's change."""
    at_reload: bool = False
    """Its removal takes effect when systemd reads its files again."""
    seconds: float = 0.0
    """How long it may take to act. Until then it cannot be read back, so that it is set once in
    each run, needed or not."""
    silent: str | None = None
    """What it reads while nobody says what it is; it can be set all the same."""
    granted: str | None = None
    """The value that the kernel always takes; it may refuse any other for good."""
    finish: Callable[[System, str, str | None, bool], None] = _nothing
    """What is to be done last in a run: target, value, and whether cpusets were changed."""
    look: Callable[[System, Iterable[Task]], Seen | None] | None = None
    """What there is of it beyond its value; None where there is nothing."""
    ability: Callable[[System], Ability] | None = None
    """What ``doctor`` says of it."""
