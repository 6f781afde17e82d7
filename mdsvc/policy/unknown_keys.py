"""Keys of a flavor and an image that nobody knows, and what was probably meant (R28).

A misspelt key asks for nothing: ``hw:cpu_polcy=dedicated`` makes a shared guest. So each unknown
``hw:`` key of a flavor is told of, each unknown property of an image that is named like those of
CPUs, and whatever else is nearly a key of CPUs: with another prefix, in the other's spelling, with
spaces. The rest is for others to know: Placement, other filters, other services.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import Literal, NamedTuple

from mdsvc.errors import InvalidRequest
from mdsvc.forms import shown
from mdsvc.policy import extra_specs as read
from mdsvc.policy import known_keys as known
from mdsvc.policy.extra_specs import Texts
from mdsvc.policy.flavor import Flavor, Image

UnknownKeys = Literal["warn", "error"]
"""Whether they are told of, or refused."""


def unknown(flavor: Flavor | None, image: Image | None = None) -> tuple[InvalidRequest, ...]:
    """An error for each key of theirs that nobody knows, by key; the flavor's come first."""
    specs = read.texts(flavor.extra_specs) if flavor else {}
    props = read.texts(image.properties) if image else {}
    return (*_of_flavor(specs), *_of_image(props))


def warnings(flavor: Flavor | None, image: Image | None = None) -> tuple[str, ...]:
    """The same in words, for whoever is only to be told."""
    return tuple(map(str, unknown(flavor, image)))


def check(flavor: Flavor | None, image: Image | None, unknown_keys: UnknownKeys) -> None:
    """Raises InvalidRequest for the first of them, where they are errors."""
    for error in unknown(flavor, image) if unknown_keys == "error" else ():
        raise error


# ---- where keys stand ----


class _Place(NamedTuple):
    """How keys are spelled there, and which names are known."""

    prefix: str
    names: frozenset[str]
    where: str

    def knows(self, key: str) -> bool:
        name = key.removeprefix(self.prefix)
        base, dot, index = name.rpartition(".")
        if dot and base in known.INDEXED:
            return re.fullmatch("0|[1-9][0-9]{0,3}", index) is not None
        return name != key and name in self.names


_FLAVOR = _Place("hw:", known.OF_FLAVORS, "flavor")
_IMAGE = _Place("hw_", known.OF_IMAGES, "image")

_GROUP = re.compile("(resources|trait)(?:[a-zA-Z0-9_-]{1,64})?")
_FAMILY = re.compile("hw_(cpu|numa|mem|emulator)_")


def _of_flavor(specs: Texts) -> Iterator[InvalidRequest]:
    for key in sorted(specs):
        scope, colon, name = key.partition(":")
        group = _GROUP.fullmatch(scope) if colon else None
        if key.startswith(_FLAVOR.prefix):
            if not _FLAVOR.knows(key):
                yield _error(key, specs[key], _meant(name, _FLAVOR, _IMAGE))
        elif group:
            if meant := _nearly_of_placement(group[1], name):
                yield _error(key, specs[key], f"{scope}:{meant}")
        elif scope not in known.SCOPES and (
            meant := _misspelt_group(scope, name) or _nearly(key, _FLAVOR, _IMAGE)
        ):
            yield _error(key, specs[key], meant)


def _of_image(props: Texts) -> Iterator[InvalidRequest]:
    for key in sorted(props):
        if _IMAGE.knows(key):
            continue
        if _FAMILY.match(_plain(key)) or key.strip().lower().startswith(_FLAVOR.prefix):
            name = _plain(key).removeprefix(_IMAGE.prefix)
            yield _error(key, props[key], _meant(name, _IMAGE, _FLAVOR))
        elif meant := _nearly(key, _IMAGE, _FLAVOR):
            yield _error(key, props[key], meant)


def _error(key: str, value: str, meant: str | None) -> InvalidRequest:
    nearest = f"the nearest is {meant}" if meant else "none is near to it"
    return InvalidRequest(shown(key), value, f"a key that is known; {nearest}")


# ---- what was meant ----

_LONGEST = 255
"""Characters of a key in Nova. What is longer is near to nothing."""


def _plain(key: str) -> str:
    """What all spellings of a key have in common: small letters, one sign between words."""
    return re.sub(r"[\W_]+", "_", key[: _LONGEST + 1].lower()).strip("_")


def _meant(name: str, here: _Place, there: _Place) -> str | None:
    """The nearest name, or the same one where only the other place knows it."""
    plain, index = _split(name)
    if plain in there.names and plain not in here.names:
        return f"{there.prefix}{plain}, in the {there.where} alone"
    near = _nearest(plain, here.names | known.INDEXED, 0.6)
    return here.prefix + _indexed(near, index) if near else None


def _split(name: str) -> tuple[str, str]:
    """The name, and the node's number behind it where there is one."""
    match = re.fullmatch(r"(.*?)(?:_0*([0-9]+))?", _plain(name))
    assert match, "it matches any text of one line"
    return match[1], match[2] or "N"


def _indexed(name: str, index: str) -> str:
    return f"{name}.{index}" if name in known.INDEXED else name


@lru_cache(maxsize=4096)
def _nearest(name: str, names: frozenset[str], likeness: float) -> str | None:
    if len(name) > _LONGEST:
        return None
    near = get_close_matches(name, sorted(names), n=1, cutoff=likeness)
    return near[0] if near else None


def _nearly(key: str, here: _Place, there: _Place) -> str | None:
    """What is nearly a key of CPUs, with a prefix that is nearly ``hw``, or with none."""
    scope, colon, _ = key.partition(":")
    if colon and not _LIKE_HW.fullmatch(_plain(scope)):
        return None
    plain, index = _split(key)
    for name in (plain, _HW.sub("", plain)):
        near = _nearest(name, known.CPU_OF_FLAVORS | known.INDEXED, 0.85)
        if near:
            return _meant(_indexed(near, index), here, there)
    return None


_LIKE_HW = re.compile("(?=.*[hw])[a-z_]{1,3}")
_HW = re.compile("^[a-z]?[hw][a-z]?_|^h_?w_?")


def _misspelt_group(scope: str, name: str) -> str | None:
    """``resource:PCPU``, which is as good as not there."""
    kinds = {"resources": name in known.RESOURCES, "trait": name == known.HYPERTHREADING}
    kind = next((kind for kind, is_one in kinds.items() if is_one), None)
    return f"{kind}:{name}" if kind and _nearest(_plain(scope), frozenset({kind}), 0.6) else None


def _nearly_of_placement(kind: str, name: str) -> str | None:
    """A resource class or trait that is nearly one that counts here; else Placement will tell."""
    names = known.RESOURCES if kind == "resources" else frozenset({known.HYPERTHREADING})
    if name in names or name.startswith("CUSTOM_"):
        return None
    return _nearest(name.strip().upper(), names, 0.75)
