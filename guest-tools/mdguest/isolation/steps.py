"""A step: one knob, what it reads now, what it should read, and why."""

from __future__ import annotations

from dataclasses import dataclass

from mdguest import knobs
from mdguest.facts import Knob
from mdguest.knobs.kind import Kind


@dataclass(frozen=True)
class Step:
    """``now`` and ``want`` are texts as ``knobs`` reads them; None is a file that is not there."""

    knob: Knob
    now: str | None
    want: str | None
    why: str
    name: str = ""
    """What people call it, where the knob's target does not say."""
    was: str | None = None
    """What ``undo`` puts back, where that is not ``now``."""
    reads: str | None = None
    """What it reads once it is set, where that is not ``want``: of an affinity what is online."""
    keep: bool = False
    """The change of another knob would lose this value: remember it even if it is right now."""
    journal: bool = True
    """False for what ends by itself."""
    only_remember: bool = False
    """Nothing to set, but ``undo`` has to put this back."""
    restore: bool = False
    """Puts back what was found."""
    young: bool = False
    """Of what has just come into being: nothing is wrong until it has had time to be seen to."""

    @property
    def kind(self) -> Kind:
        return knobs.of(self.knob)

    @property
    def title(self) -> str:
        return self.name or self.knob.target

    @staticmethod
    def shown(value: str | None) -> str:
        """A value in a message: that of a file is too long for one."""
        if not value:
            return "unset"
        return f"{len(value)} bytes" if "\n" in value else value

    @property
    def needed(self) -> bool:
        return not self.only_remember and not self.is_set(self.now)

    def is_set(self, now: str | None) -> bool:
        """Whether what it reads now is what was wanted."""
        return self.kind.same(now, self.want if self.reads is None else self.reads)

    @property
    def original(self) -> str | None:
        return self.now if self.was is None else self.was
