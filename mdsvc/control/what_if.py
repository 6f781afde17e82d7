"""What-if among the registered hosts, by the rules of a placement; nothing is placed."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from mdsvc.control import in_snapshot
from mdsvc.control.candidates import look
from mdsvc.errors import Conflict, DoesNotFit, InvalidRequest
from mdsvc.placing.what_if import (
    Fits,
    HostAnswer,
    OpenQuestion,
    Refusal,
    choose_among,
    outcome,
    refused,
)
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store import Store


async def choice_among_registered(
    store: Store, question: OpenQuestion, unknown_keys: UnknownKeys
) -> Fits | Refusal:
    """The host that a guest would be placed on, with its layout; or the reasons of each host."""
    try:
        request = question.request
        seen = await in_snapshot(store, lambda snapshot: look(snapshot, request, None))
    except InvalidRequest as error:
        return refused(question, error)
    except Conflict as error:  # a rule over all hosts: none of them is looked at
        return refused(question, DoesNotFit(str(error), tuple))

    def choose(asked: OpenQuestion) -> Fits | Refusal:
        answer = choose_among(asked, seen.hosts)
        unread = tuple(
            HostAnswer(host=reason.host or "", fits=False, reasons=(reason,))
            for reason in seen.reasons_unread()
        )
        return replace(answer, hosts=(*(answer.hosts or ()), *unread)) if unread else answer

    return await asyncio.to_thread(outcome, question, choose, unknown_keys)
