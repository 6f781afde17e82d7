"""Rendered answers: what a guest may read, kept until the guest changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from mdsvc.documents import ec2, openstack, own
from mdsvc.documents.answer import JSON, TEXT, Answer, Path
from mdsvc.instance import PlacedInstance
from mdsvc.versions import Entropy, Options

__all__ = ["JSON", "TEXT", "Answer", "Documents", "Path"]


class Documents:
    """Finds documents by their path, and keeps the rendered ones of the guests that asked last."""

    def __init__(self, options: Options, entropy: Entropy = os.urandom, keep: int = 1_000) -> None:
        self.options = options
        self.entropy = entropy
        self._keep = keep
        self._kept: dict[str, tuple[PlacedInstance, dict[Path, Answer]]] = {}

    def find(self, guest: PlacedInstance, path: Path) -> Answer | None:
        """The document at a path, given as its non-empty segments; None where there is none."""
        answers = self._answers(guest)
        if path not in answers:
            answer = _render(guest, path, self.options)
            if answer is None:  # not kept: a guest can think of no end of paths
                return None
            answers[path] = answer
        return answers[path]

    def _answers(self, guest: PlacedInstance) -> dict[Path, Answer]:
        """What is kept for the guest as it is now: a UUID may have been another guest's before."""
        known, answers = self._kept.pop(guest.uuid, (guest, {}))
        if known != guest:
            known, answers = guest, {}
        if len(self._kept) >= self._keep:
            del self._kept[next(iter(self._kept))]
        self._kept[guest.uuid] = known, answers
        return answers


def _render(guest: PlacedInstance, path: Path, options: Options) -> Answer | None:
    """The first segment names the tree; whatever is not ours or OpenStack's is EC2's."""
    return _TREES.get(path[0] if path else "", ec2.find)(guest, path, options)


_TREES: Mapping[str, Callable[[PlacedInstance, Path, Options], Answer | None]] = {
    "openstack": openstack.find,
    "mdsvc": own.find,
}
