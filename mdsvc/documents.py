"""Rendered answers: what a guest may read, kept until the guest changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from mdsvc import ec2, versions
from mdsvc.forms import to_json
from mdsvc.instance import PlacedInstance, content_bytes
from mdsvc.versions import ABSENT, BY_NAME, Entropy, Options, View

JSON = "application/json"
TEXT = "text/plain; charset=UTF-8"

Path = tuple[str, ...]


class Answer(msgspec.Struct, frozen=True):
    """One document. ``etag`` leaves the fresh fields out, which are new in every reply."""

    body: bytes
    content_type: str
    etag: str
    fresh: Mapping[str, Callable[[Entropy], Any]] = {}
    shows_etag: bool = False  # in the body, always; Nova's own documents only when asked

    def reply(self, entropy: Entropy, with_etag: bool = False) -> bytes:
        """The body to send: fresh fields filled in, and the etag for who cannot see headers."""
        extra = {name: value(entropy) for name, value in self.fresh.items()}
        if with_etag or self.shows_etag:
            extra["etag"] = self.etag
        if not extra:
            return self.body
        separator = b"," if len(self.body) > 2 else b""
        return self.body[:-1] + separator + to_json(extra)[1:]


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
    return _TREES.get(path[0] if path else "", _ec2)(guest, path, options)


def _openstack(guest: PlacedInstance, path: Path, options: Options) -> Answer | None:
    match path:
        case (_,):
            return _list(versions.LISTED[guest.version_list or options.version_list])
        case (_, "content", number):
            return _content(guest, number)
        case (_, name, *rest) if name in BY_NAME and len(rest) <= 1:
            return _versioned(View(guest, options, BY_NAME[name]), rest)
    return None


def _versioned(view: View, rest: list[str]) -> Answer | None:
    files = {
        name: render(view)
        for name, render in view.version.files.items()
        if not rest or name in rest
    }
    there = {name: value for name, value in files.items() if value is not ABSENT}
    if not rest:
        return _list(there)
    if rest[0] not in there:
        return None
    value = there[rest[0]]
    if isinstance(value, bytes):
        return _text(value)
    return _json(value, view.version.fresh if rest[0] == "meta_data.json" else {})


def _content(guest: PlacedInstance, number: str) -> Answer | None:
    names = {f"{at:04}": file for at, file in enumerate(guest.files)}
    return _text(content_bytes(names[number].content)) if number in names else None


def _ec2(guest: PlacedInstance, path: Path, _options: Options) -> Answer | None:
    if not path:
        return _list(ec2.LISTED)
    found = ec2.find(guest, path[0], path[1:])
    return None if found is None else _text(found)


def _own(guest: PlacedInstance, path: Path, _options: Options) -> Answer | None:
    """The project's own tree. Host CPU numbers are none of a guest's business."""
    match path[1:]:
        case ():
            return _list(["v1/"])
        case ("v1",):
            return _list(_OWN)
        case ("v1", name) if name in _OWN:
            value = _OWN[name](guest)
            if isinstance(value, str):
                return _text(value.encode())
            return msgspec.structs.replace(_json(value), shows_etag=True)
    return None


def _guest_layout(guest: PlacedInstance) -> dict[str, Any]:
    layout = guest.layout
    return {
        "dedicated_cpus": layout.dedicated_cpus,
        "shared_cpus": layout.shared_cpus,
        "realtime_cpus": layout.realtime_cpus,
        "cpu_policy": layout.cpu_policy,
        "cpu_thread_policy": layout.cpu_thread_policy,
        "emulator_threads_policy": layout.emulator_threads_policy,
        "cells": [
            {
                "id": cell.id,
                "cpuset": cell.cpuset,
                "pcpuset": cell.pcpuset,
                "memory_mb": cell.memory_mb,
                "pagesize_kb": cell.pagesize_kb,
            }
            for cell in layout.cells
        ],
        "generation": guest.generation,
    }


_OWN: Mapping[str, Callable[[PlacedInstance], str | dict[str, Any]]] = {
    "layout": _guest_layout,
    "dedicated_cpus": lambda guest: str(guest.layout.dedicated_cpus),
    "shared_cpus": lambda guest: str(guest.layout.shared_cpus),
}

_TREES: Mapping[str, Callable[[PlacedInstance, Path, Options], Answer | None]] = {
    "openstack": _openstack,
    "mdsvc": _own,
}


def _list(names: Iterable[str]) -> Answer:
    """One name a line, and no newline at the end."""
    return _text("\n".join(names).encode())


def _text(body: bytes) -> Answer:
    return Answer(body, TEXT, _etag(body))


def _json(value: Any, fresh: Mapping[str, Callable[[Entropy], Any]] | None = None) -> Answer:
    body = to_json(value)
    return Answer(body, JSON, _etag(body), fresh or {})


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
