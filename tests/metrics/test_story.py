"""What monitoring reads is what has happened: a story told by the API and by guests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlencode

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mdsvc import metrics
from mdsvc.instance import PlacedInstance
from mdsvc.metrics import fleet
from mdsvc.server import listeners
from mdsvc.settings import Settings
from mdsvc.store.listing import Listing
from mdsvc.store.memory import MemoryStore
from tests.api.asking import Ask, asking
from tests.cli.values import DEDICATED, OTHER_UUID, UUID, flavor, guest, host, plain
from tests.http.wire import Wire

HERE = [{"network": "net-a", "ip": "127.0.0.1"}]
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


class Story:
    """A server with both doors, and what it tells monitoring."""

    def __init__(self, store: MemoryStore, guests: Wire, operator: Wire) -> None:
        self.store = store
        self.guest = guests
        self.ask: Ask = asking(operator)

    async def value(self, name: str, **labels: str) -> float | None:
        """One sample; None where there is none."""
        reply = await self.ask("GET", "/metrics")
        assert reply.status == 200
        samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(reply.text)
            for sample in family.samples
        }
        return samples.get((name, frozenset(labels.items())))

    async def pcpus(self, name: str = "h1") -> list[float | None]:
        states = ("free", "pinned", "reserved")
        return [await self.value("mdsvc_pcpus", host=name, state=state) for state in states]


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    store = MemoryStore()
    settings = Settings(guest=("127.0.0.1:0",), operator="127.0.0.1:0", user_data_after_boot="deny")
    async with listeners(settings, store) as lines:
        ports = [int(re.findall(r":(\d+)", line)[-1]) for line in lines]
        guests, operator = (Wire(port, f"127.0.0.1:{port}") for port in ports)
        yield Story(store, guests, operator)


async def test_pcpus_and_guests_follow_placements(story: Story) -> None:
    await story.ask("POST", "/v1/hosts", host())
    free, pinned, reserved = await story.pcpus()
    assert (pinned, reserved) == (0, 0)
    assert free

    await story.ask("POST", "/v1/instances", guest())
    assert await story.pcpus() == [free - 5, 5, 0]
    assert await story.value("mdsvc_instances", host="h1", policy="mixed") == 1

    isolated = flavor(2, 64, {**DEDICATED, "hw:emulator_threads_policy": "isolate"})
    await story.ask("POST", "/v1/instances", plain(1, flavor=isolated))
    assert await story.pcpus() == [free - 8, 7, 1]

    await story.ask("DELETE", f"/v1/instances/{UUID}")
    assert await story.pcpus() == [free - 3, 2, 1]
    assert await story.value("mdsvc_instances", host="h1", policy="mixed") is None


async def test_a_host_that_is_gone_is_told_of_no_more(story: Story) -> None:
    await story.ask("POST", "/v1/hosts", host())
    assert None not in await story.pcpus()
    await story.ask("DELETE", "/v1/hosts/h1")
    assert await story.pcpus() == [None, None, None]


async def test_what_came_of_each_search_for_a_place_is_counted(story: Story) -> None:
    await story.ask("POST", "/v1/hosts", host())
    for _ in range(2):  # the second one is a repeat, for which nothing is looked for
        await story.ask("POST", "/v1/instances", guest())
    await story.ask("POST", "/v1/fit", {"flavor": flavor(2, 64, {})})
    assert await story.value("mdsvc_fits_total", outcome="fits", rule="") == 2

    big = flavor(64, extra_specs=DEDICATED)
    refused = await story.ask("POST", "/v1/instances", plain(1, flavor=big))
    rule = refused.json["reasons"][0]["rule"]
    await story.ask("POST", "/v1/fit", {"flavor": big})
    assert await story.value("mdsvc_fits_total", outcome="does_not_fit", rule=rule) == 2

    wrong = flavor(2, extra_specs={"hw:cpu_policy": "x"})
    await story.ask("POST", "/v1/instances", plain(1, flavor=wrong))
    await story.ask("POST", "/v1/fit", {"flavor": wrong})
    assert await story.value("mdsvc_fits_total", outcome="invalid_request", rule="") == 2


async def test_what_ifs_of_the_page_are_counted_as_those_of_the_api(story: Story) -> None:
    await story.ask("POST", "/v1/hosts", host())
    flavors = (
        flavor(2, 64, DEDICATED),
        flavor(64, 64, DEDICATED),
        flavor(2, 64, {"hw:cpu_policy": "x"}),
    )
    rules = []
    for each in flavors:
        told = (await story.ask("POST", "/v1/fit", {"flavor": each})).json
        rules += [host["reasons"][0]["rule"] for host in told.get("hosts", ()) if not host["fits"]]
        page = await story.ask("GET", f"/what-if?{urlencode({'flavor': json.dumps(each)})}")
        assert page.status == 200
    await story.ask("GET", "/what-if")
    await story.ask("GET", "/what-if?flavor=nonsense")
    assert await story.value("mdsvc_fits_total", outcome="fits", rule="") == 2
    assert await story.value("mdsvc_fits_total", outcome="does_not_fit", rule=rules[0]) == 2
    assert await story.value("mdsvc_fits_total", outcome="invalid_request", rule="") == 2


async def test_guests_requests_are_counted_by_document_client_and_status(story: Story) -> None:
    await story.ask("POST", "/v1/hosts", host())
    await story.ask("POST", "/v1/instances", guest(addresses=HERE))
    agent = [("User-Agent", "Cloud-Init/22.4.2")]
    for path in ("/openstack/latest/meta_data.json", "/openstack/2018-08-27/meta_data.json"):
        await story.guest(path, agent)
    await story.guest("/latest/meta-data/cpu/dedicated")
    await story.guest("/nothing/of/the/kind")
    requests = "mdsvc_requests_total"
    counted = await story.value(
        requests, document="meta_data.json", client="cloud-init", status="200"
    )
    assert counted == 2
    assert await story.value(requests, document="ec2", client="none", status="200") == 1
    assert await story.value(requests, document="other", client="none", status="404") == 1
    assert await story.value("mdsvc_request_seconds_count") == 4
    assert (await story.value("mdsvc_cache_bytes") or 0) > 0
    assert await story.value("mdsvc_waiting") == 0


async def test_a_store_that_does_not_answer_is_told_with_nothing_of_the_fleet(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.ask("POST", "/v1/hosts", host())
    assert await story.value("mdsvc_store_up") == 1

    async def lost() -> int:
        raise OSError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(story.store, "position", lost)
        assert await story.value("mdsvc_store_up") == 0
        assert await story.pcpus() == [None, None, None]
    assert None not in await story.pcpus()


async def test_a_first_look_that_takes_long_goes_on_from_reading_to_reading(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that at very many guests does; the store is up meanwhile."""
    await story.ask("POST", "/v1/hosts", host())
    for each in (guest(), plain(1)):
        await story.ask("POST", "/v1/instances", each)
    monkeypatch.setattr(fleet, "_PAGE", 1)
    monkeypatch.setattr(metrics, "_STORE_SECONDS", 1)
    whole, read, goes_on = story.store.list_instances, list[str | None](), asyncio.Event()

    async def slow(
        on: str | None, project: str | None, after: str | None, limit: int
    ) -> Listing[PlacedInstance]:
        read.append(after)
        if after:
            await goes_on.wait()
        return await whole(on, project, after, limit)

    monkeypatch.setattr(story.store, "list_instances", slow)
    assert await story.value("mdsvc_store_up") == 1
    assert await story.pcpus() == [None, None, None]
    goes_on.set()
    assert await story.value("mdsvc_store_up") == 1
    assert None not in await story.pcpus()
    assert read.count(None) == 1


async def test_no_secret_and_no_name_of_a_guest_is_told(story: Story) -> None:
    await story.ask("POST", "/v1/hosts", host())
    await story.ask("POST", "/v1/instances", guest(name="s3cret", user_data="s3cret"))
    await story.ask("POST", "/v1/instances", plain(1))
    told = (await story.ask("GET", "/metrics")).text
    assert not re.search(f"s3cret|{UUID}|{OTHER_UUID}", told)


async def test_drift_is_counted_as_it_comes_and_goes(story: Story) -> None:
    assert await story.value("mdsvc_drifted") == 0
    await story.ask("POST", "/v1/hosts", host())
    await story.ask("POST", "/v1/instances", guest(addresses=HERE))
    status = "/mdsvc/v1/status"
    counts = []
    for body in (b'{"state": "isolated"}', b'{"state": "broken"}', b'{"generation": 9}', b"{}"):
        assert (await story.guest(status, method="POST", body=body)).status == 200
        counts.append(await story.value("mdsvc_drifted"))
    assert counts == [0, 1, 1, 0]
    await story.guest(status, method="POST", body=b'{"state": "broken"}')
    await story.ask("DELETE", f"/v1/instances/{UUID}")
    assert await story.value("mdsvc_drifted") == 0


async def test_who_is_refused_its_user_data_is_counted(story: Story) -> None:
    await story.ask("POST", "/v1/hosts", host())
    here = guest(addresses=HERE, user_data="secret")
    await story.ask("POST", "/v1/instances", here)
    refused = "mdsvc_refused_total"
    await story.guest("/latest/user-data")
    assert await story.value(refused, reason="user_data") == 0
    await story.ask("PUT", f"/v1/instances/{UUID}/lock")
    for path in ("/latest/user-data", "/openstack/latest/user_data", "/openstack"):
        await story.guest(path)
    assert await story.value(refused, reason="user_data") == 2
