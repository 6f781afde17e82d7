"""Real guests' boots, replayed against a metadata service, and what each client learns of it.

What each client asks and how it takes the answers is read from its sources; nothing is written to
the service but what opens a session (``PUT`` for a token).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import msgspec

from mdsvc.doctor.clients import CLIENTS, Client
from mdsvc.doctor.visit import Stops, Unanswered, Visit, connected
from mdsvc.errors import BadInput, Unavailable

__all__ = ["CLIENTS", "Report", "client_named", "examine"]


_SLOW_SECONDS = 2.0
"""For a request."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One client's boot. ``seconds`` are of the wall clock; ``where`` is where the guest's programs
    find ``dedicated_cpus``, which is a CPU set, empty where the guest has none, or null.
    """

    client: str
    works: bool
    requests: int
    seconds: float
    dedicated_cpus: str | None
    where: str | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def client_named(name: str) -> Client:
    """Raises BadInput, which lists the names."""
    for client in CLIENTS:
        if client.name == name:
            return client
    known = ", ".join(client.name for client in CLIENTS)
    raise BadInput(f"--client: expected one of {known}, got {name[:60]!r}")


async def examine(
    url: str, headers: Mapping[str, str] | None = None, clients: Iterable[Client] = CLIENTS
) -> list[Report]:
    """Replay each client's boot in turn, as the guest that asks from here or that ``headers`` name.

    ``url`` is the service's root, like ``http://169.254.169.254``, or ``unix:/PATH``. Raises
    ValueError for another, and Unavailable where nothing answers there at all.
    """
    first, *others = clients
    reports = [await _replay(first, url, headers or {})]
    if reports[0].seconds < _SLOW_SECONDS * reports[0].requests:
        reports += [await _replay(client, url, headers or {}) for client in others]
    else:  # whoever is silent, or slow, is not waited for by each in turn
        replays = (_replay(client, url, headers or {}) for client in others)
        reports += await asyncio.gather(*replays)
    if not any(report.requests for report in reports):
        raise Unavailable(f"{url}: {reports[0].problems[0]}")
    return reports


async def _replay(client: Client, url: str, headers: Mapping[str, str]) -> Report:
    async with connected(url, client.user_agent, headers) as visit:
        problems = [*await _boot(client, visit), *visit.problems]
        return Report(
            client=client.name,
            works=not problems,
            requests=visit.requests,
            seconds=round(visit.seconds, 4),
            dedicated_cpus=visit.dedicated_cpus,
            where=visit.where,
            problems=tuple(problems),
            notes=tuple(visit.notes),
        )


async def _boot(client: Client, visit: Visit) -> list[str]:
    try:
        await client.boot(visit)
    except (Stops, Unanswered) as error:
        return [str(error)]
    return []
