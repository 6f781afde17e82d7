"""What is asked of a cloud's metadata service, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from mdsvc.errors import Unavailable

Outcome = Literal["ok", "refused", "error", "timeout", "unreachable", "garbage", "busy"]
"""Of a request: an answer, a 4xx other than 404, a 5xx, none in time, none at all, a wrong one; it
has never been sent, as too many others were under way.
"""


class Asker(NamedTuple):
    """The guest that asks, as Neutron's agent says. Nova compares the project with its own, and
    may show the address to the guest, so answers are kept by all three.
    """

    uuid: str
    project: str
    signature: str
    forwarded_for: str | None

    def headers(self) -> Mapping[str, str]:
        """All that Nova is told of the request, beside method, path, query and body."""
        told = {
            "X-Instance-ID": self.uuid,
            "X-Tenant-ID": self.project,
            "X-Instance-ID-Signature": self.signature,
        }
        return (
            told if self.forwarded_for is None else {**told, "X-Forwarded-For": self.forwarded_for}
        )


@dataclass(frozen=True, eq=False)
class Reply:
    """An answer as it came. Each is told from all others, whatever it says."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Away(Unavailable):
    """No upstream has answered, or none with anything that can be passed on."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome
