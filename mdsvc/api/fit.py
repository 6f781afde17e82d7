"""What-if: would this flavor and image fit, on a host that is given, or on which registered one?"""

from __future__ import annotations

import asyncio

from msgspec import UNSET

from mdsvc.api.route import Answer, Call
from mdsvc.control.what_if import choice_among_registered
from mdsvc.placing.what_if import host_answer


async def ask_fit(call: Call) -> Answer:
    """Whether it fits: a layout, or why not. Nothing is placed, and nothing is stored."""
    question, unknown_keys = call.body, call.backend.unknown_keys
    if question.host is UNSET:
        return Answer(await choice_among_registered(call.store, question, unknown_keys))
    return Answer(await asyncio.to_thread(host_answer, question, unknown_keys))
