"""Errors have codes that are published: none ever changes, and no class's name goes out."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from typing import get_args

import pytest

import mdsvc
from mdsvc.errors import Code, DoesNotFit, MdsvcError, Reason
from mdsvc.forms import to_json

PUBLISHED = {
    *("bad_input", "invalid_request", "unauthorized", "forbidden", "not_found"),
    *("method_not_allowed", "conflict", "does_not_fit", "precondition_failed", "too_large"),
    *("unavailable", "internal", "unsupported_media_type"),
}


def kinds(base: type[MdsvcError] = MdsvcError) -> Iterator[type[MdsvcError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


def test_the_codes_are_those_that_were_published() -> None:
    for module in walk_packages(mdsvc.__path__, "mdsvc."):
        import_module(module.name)
    assert set(get_args(Code)) == PUBLISHED
    assert {kind.code for kind in kinds()} <= PUBLISHED


def test_a_reason_leaves_out_what_it_is_not_about() -> None:
    assert to_json(Reason(rule="r", message="m", guest_cell=0)) == (
        b'{"guest_cell":0,"rule":"r","message":"m"}'
    )


@pytest.mark.parametrize("change", [{"rule": "other"}, {"needed": 1}])
def test_a_reason_cannot_be_changed(change: dict[str, object]) -> None:
    [reason] = DoesNotFit("x", lambda: [Reason(rule="r", message="m")]).reasons
    with pytest.raises(AttributeError):
        setattr(reason, *next(iter(change.items())))
