"""Addresses of every view of the demonstration's fleet."""

from __future__ import annotations

from urllib.parse import urlencode

from mdsvc.demo.fleet import DEDICATED, STUCK
from mdsvc.forms import to_json
from mdsvc.policy.flavor import Flavor


def what_if(flavor: Flavor) -> str:
    """A link that asks for it."""
    return f"/what-if?{urlencode({'flavor': to_json(flavor)})}"


EASY = Flavor(vcpus=4, memory_mb=4096, extra_specs=DEDICATED)

VIEWS = {
    "hosts": "/",
    "hosts-sorted": "/?sort=-pinned&q=epyc",
    "host": "/hosts/epyc-03",
    "host-draining": "/hosts/xeon-03",
    "host-old": "/hosts/xeon-old",
    "guests": "/instances?limit=30",
    "what-if": "/what-if",
    "what-if-stuck": what_if(STUCK),
    "what-if-fits": what_if(EASY),
    "what-if-wrong": "/what-if?flavor=nonsense",
    "changes": "/changes",
    "login": "/login",
}
"""Beside those of guests, whose addresses are their UUIDs."""
