"""Rendered answers: what a guest may read, kept until the guest changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ssl import RAND_bytes

from mdsvc.documents import ec2, openstack, own
from mdsvc.documents.answer import BYTES, JSON, TEXT, Answer, Path, joined, text_type
from mdsvc.forms import to_json
from mdsvc.instance import PlacedInstance
from mdsvc.versions import Entropy, Options

__all__ = ["BYTES", "JSON", "TEXT", "Answer", "Documents", "Path", "joined", "pooled", "text_type"]


ROOM = 64 * 2**20
"""Bytes; a guest of usual size that has asked for everything takes some tens of thousands."""

_OVERHEAD = 500
"""Of keeping an answer, beside its body."""


_AT_ONCE = 32 * 512
"""Bytes of entropy that are asked for at a time; each is given once."""


class Pooled:
    """Entropy, asked for in large pieces."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._pool = b""
        self._used = 0

    def __call__(self, size: int) -> bytes:
        if self._used + size > len(self._pool):
            self._pool, self._used = self._entropy(max(size, _AT_ONCE)), 0
        self._used += size
        return self._pool[self._used - size : self._used]


def pooled() -> Pooled:
    """OpenSSL's generator, that the kernel seeds: a guest's seed takes a tenth of the time that the
    kernel itself needs for it.
    """
    return Pooled(RAND_bytes)


class Documents:
    """Finds documents by their path, and keeps the rendered ones of the guests that asked last."""

    def __init__(self, options: Options, entropy: Entropy | None = None, room: int = ROOM) -> None:
        self.options = options
        self.entropy = entropy or pooled()
        self.size = 0
        self._room = room
        self._kept: dict[str, _Rendered] = {}

    def find(self, guest: PlacedInstance, path: Path) -> Answer | None:
        """The document at a path, given as its non-empty segments; None where there is none."""
        rendered = self._of(guest)
        answer = rendered.answers.get(path)
        if answer is None:
            answer = _render(guest, path, self.options)
            if answer is None:  # not kept: a guest can think of no end of paths
                return None
            self.size += rendered.add(path, answer)
            answer = rendered.answers[path]
        while self.size > self._room:
            self._drop(next(iter(self._kept)))
        return answer

    def renew(self, options: Options) -> None:
        """Render all anew from now on, with these."""
        self.options = options
        self._kept.clear()
        self.size = 0

    def held(self) -> int:
        """Bytes of what is kept."""
        return self.size

    def _of(self, guest: PlacedInstance) -> _Rendered:
        """What is kept for the guest as it is now: a UUID may have been another guest's before.

        It is the last one now to make room for others.
        """
        rendered = self._kept.pop(guest.uuid, None)
        if rendered is None or (rendered.guest is not guest and rendered.guest != guest):
            self.size -= rendered.size if rendered else 0
            rendered = _Rendered(guest)
            self.size += rendered.size
        self._kept[guest.uuid] = rendered
        return rendered

    def _drop(self, uuid: str) -> None:
        if rendered := self._kept.pop(uuid, None):
            self.size -= rendered.size


class _Rendered:
    """A guest with its answers. Versions in which a document is the same share it."""

    def __init__(self, guest: PlacedInstance) -> None:
        self.guest = guest
        self.answers: dict[Path, Answer] = {}
        self.size = len(to_json(guest))
        self._by_etag: dict[str, Answer] = {}

    def add(self, path: Path, answer: Answer) -> int:
        """Keep an answer; how many bytes more that takes."""
        same = self._by_etag.setdefault(answer.etag, answer)
        shared = same == answer
        self.answers[path] = same if shared else answer
        more = _OVERHEAD + (0 if shared and same is not answer else len(answer.body))
        self.size += more
        return more


def _render(guest: PlacedInstance, path: Path, options: Options) -> Answer | None:
    """The first segment names the tree; whatever is not ours or OpenStack's is EC2's."""
    return _TREES.get(path[0] if path else "", ec2.find)(guest, path, options)


_TREES: Mapping[str, Callable[[PlacedInstance, Path, Options], Answer | None]] = {
    "openstack": openstack.find,
    "mdsvc": own.find,
}
