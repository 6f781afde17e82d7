"""What follows from a frozen value alone is worked out once for it, and kept on it.

A value's own class does so with ``functools.cached_property``; ``kept`` is the same for a function
that is of another module, since the value's own may not know of it. Both keep it in the value's
``__dict__``, which no comparison, copy or JSON form looks into.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

V = TypeVar("V")
T = TypeVar("T")


def kept(make: Callable[[V], T]) -> Callable[[V], T]:
    """The function, which works its answer out at the first call for each value; never None."""
    name = f"{make.__module__}.{make.__qualname__}"

    @wraps(make)
    def once(value: V) -> T:
        answers: dict[str, T | None] = value.__dict__
        answer = answers.get(name)  # no exception: most values are asked once
        if answer is None:
            answers[name] = answer = make(value)
        return answer

    return once
