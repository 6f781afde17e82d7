"""What guests are refused is counted by why, once for each request or connection that was."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mdsvc.listening.files import SPARE_FILES
from mdsvc.metrics.labels import REFUSALS
from mdsvc.server import listeners
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from tests.api.asking import asking
from tests.cli.values import guest, host
from tests.http.signing import SECRET
from tests.http.wire import Wire
from tests.test_connections import few_files_left

TOLD = Path(__file__).parents[2] / "docs/monitoring.md"
WAITS = "/mdsvc/v1/layout?wait_for_change=true&timeout_sec=25"
TOKEN = "X-aws-ec2-metadata-token"


class Doors:
    """Where a guest asks, and where monitoring does."""

    def __init__(self, guests: Wire, operator: Wire) -> None:
        self.guest, self.ask = guests, asking(operator)

    async def refused(self) -> dict[str, float]:
        """How many for each reason, of those for which there were any."""
        text = (await self.ask("GET", "/metrics")).text
        return {
            sample.labels["reason"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "mdsvc_refused_total" and sample.value
        }


@asynccontextmanager
async def doors(**settings: Any) -> AsyncIterator[Doors]:
    here: dict[str, Any] = {"guest": ("127.0.0.1:0",), "operator": "127.0.0.1:0"}
    async with listeners(Settings(**here, **settings), MemoryStore()) as lines:
        ports = [int(re.findall(r":(\d+)", line)[-1]) for line in lines]
        both = Doors(*(Wire(port, f"127.0.0.1:{port}") for port in ports))
        await both.ask("POST", "/v1/hosts", host())
        address = {"network": "net-a", "ip": "127.0.0.1"}
        await both.ask("POST", "/v1/instances", guest(addresses=[address]))
        yield both


async def test_who_asks_too_often_is_counted_apart_from_strangers() -> None:
    async with doors(guest_rate=0.001, guest_burst=2) as both:
        for peer in ("127.0.0.1", "127.0.0.8", "127.0.0.9"):
            for _ in range(3):
                await both.guest("/openstack", peer=peer)
        assert await both.refused() == {"rate": 1, "strangers": 4}


async def test_what_is_brought_is_counted_by_what_is_wrong_with_it() -> None:
    async with doors(tokens="required") as both:
        await both.guest("/openstack")
        await both.guest("/openstack", [(TOKEN, "forged")])
        ttl = (f"{TOKEN}-ttl-seconds", "60")
        await both.guest("/latest/api/token", [ttl, ("X-Forwarded-For", "a")], method="PUT")
        both.guest.host = "evil.example"
        await both.guest("/openstack")
        assert await both.refused() == {"token": 2, "forwarded": 1, "host": 1}


async def test_a_false_signature_is_counted() -> None:
    async with doors(identity="neutron", shared_secret=(SECRET,)) as both:
        named = [("X-Instance-ID", "a"), ("X-Tenant-ID", "b"), ("X-Instance-ID-Signature", "c")]
        await both.guest("/openstack", named)
        assert await both.refused() == {"signature": 1}


async def test_waits_beyond_those_that_may_are_counted() -> None:
    async with doors() as both:
        waits = [asyncio.create_task(both.guest(WAITS)) for _ in range(18)]
        async with asyncio.timeout(30):
            while sum(each.done() for each in waits) < 2:  # noqa: ASYNC110  # of those that are refused
                await asyncio.sleep(0.01)
        assert await both.refused() == {"waits": 2}
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)


async def test_connections_beyond_those_that_may_be_are_counted() -> None:
    async with doors(guest_connections=1) as both:
        _, writer = await asyncio.open_connection("127.0.0.1", both.guest.port)  # and is silent
        for count in (1, 2):  # it was the first to come, so whoever comes now is one too many
            with pytest.raises((ConnectionError, IndexError)):  # it has no status
                await both.guest("/openstack")
            assert await both.refused() == {"connections": count}
        with few_files_left(SPARE_FILES - 1), pytest.raises((ConnectionError, IndexError)):
            await both.guest("/openstack")
        assert await both.refused() == {"connections": 2, "files": 1}
        writer.close()


def test_each_reason_is_told_to_operators() -> None:
    told = re.findall(
        r"^\| `(\w+)` \|.*\| (?:\d{3}|hung up on) \|$", TOLD.read_text(), re.MULTILINE
    )
    assert told == list(REFUSALS)
