"""What was found before the first change of each knob: kept so that ``undo`` can put it back.

One JSON object a line, on the disk before the change itself, in the order of the changes. What
could not be written down is not remembered either: then the change is not made. The file lives
below /run and names its boot: all that mdguest sets is gone after the next one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mdguest import knobs
from mdguest.facts import Knob
from mdguest.procfs import boot_id

if TYPE_CHECKING:
    from mdguest.system import System

JOURNAL = "/run/mdguest/journal"


class Journal:
    """The first value of each knob that was changed since boot, and not put back."""

    def __init__(self, system: System, path: str = JOURNAL) -> None:
        self._system = system
        self._path = path
        self.originals: dict[Knob, str | None] = {}
        self.settling = False
        """Whether an apply or undo was cut off, or is under way."""
        self.intent: Mapping[str, Any] = {}
        """What that one is about to make of the state: ``state.State``'s fields."""
        self._started = False
        self._load()

    def _load(self) -> None:
        if not self._system.exists(self._path):
            return
        lines = self._system.read(self._path).split("\n")
        if _line(lines[0]) != {"boot": boot_id(self._system)}:
            return
        self._started = True
        for entry in filter(None, map(_line, lines[1:])):
            with contextlib.suppress(
                KeyError, TypeError, ValueError, AttributeError
            ):  # of a newer mdguest
                self._replay(entry)

    def _replay(self, entry: dict[str, Any]) -> None:
        if "settling" in entry:
            self.intent = dict(entry.get("intent", {}))
            self.settling = bool(entry["settling"])
        elif "back" in entry:
            for kind, target in entry["back"]:
                self.originals.pop(Knob(kind, target), None)
        else:
            knob, was = Knob(entry["kind"], entry["target"]), entry["was"]
            if knobs.same(knob, was, was):  # else it is no value of this kind
                self.originals[knob] = was

    def note(self, *found: tuple[Knob, str | None]) -> None:
        """Remember what was found, unless something older is remembered.

        An affinity is replaced: a program may have chosen another since.
        """
        news = [
            (knob, was)
            for knob, was in found
            if knob not in self.originals
            or (knobs.of(knob).of_a_task and self.originals[knob] != was)
        ]
        if not self._started:
            self._system.save(self._path, json.dumps({"boot": boot_id(self._system)}))
            self._started = True
        self._append(
            *({"kind": knob.kind, "target": knob.target, "was": was} for knob, was in news)
        )
        self.originals.update(news)

    def begin(self, intent: Mapping[str, Any]) -> None:
        """Mark that changes begin, and what for: on record before the first one."""
        if not self.settling or intent != self.intent:
            self.note()
            self._append({"settling": True, "intent": intent})
            self.settling, self.intent = True, intent

    def complete(self) -> None:
        """Mark that all changes are made."""
        if self.settling:
            self._append({"settling": False})
            self.settling, self.intent = False, {}
        self._end_if_empty()

    def back(self, *knobs: Knob) -> None:
        """These knobs are as they were found, or gone: nothing is left to put back."""
        known = [knob for knob in dict.fromkeys(knobs) if knob in self.originals]
        if known:
            self._append({"back": known})
            for knob in known:
                del self.originals[knob]
            self._end_if_empty()

    def _end_if_empty(self) -> None:
        if self._started and not self.settling and not self.originals:
            self._system.remove(self._path)
            self._started = False

    def _append(self, *entries: dict[str, Any]) -> None:
        # The newline comes first, so that an entry that a crash cut off spoils no later one.
        if entries:
            self._system.append(self._path, "".join("\n" + json.dumps(entry) for entry in entries))


def _line(text: str) -> dict[str, Any] | None:
    """One entry; None where a crash cut it off."""
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
