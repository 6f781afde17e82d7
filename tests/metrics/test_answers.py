"""Answers are counted in plain numbers, and read as if each had been told at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from mdsvc.metrics.answers import Answers, Seconds
from mdsvc.metrics.labels import client_of, document_of

BUCKETS = (1 / 1024, 1 / 64, 0.5, 30)  # whose sums are exact
LABELS = ("document", "client", "status")
PATHS = st.sampled_from(["/", "/openstack/latest/meta_data.json", "/latest/meta-data/" + "x" * 300])
AGENTS = st.sampled_from(["", "curl/8", "cloud-init" + "x" * 100])
TIMES = st.one_of(st.sampled_from(BUCKETS), st.integers(0, 2**12).map(lambda n: n / 64))
TOLD = st.tuples(PATHS, AGENTS, st.sampled_from([200, 404]), TIMES)
STEPS = st.lists(st.one_of(TOLD, st.none()), max_size=40)

Steps = list[tuple[str, str, int, float] | None]


class Both:
    """The same, told to a registry each: by ``Answers``, and directly."""

    def __init__(self, *, is_shared: bool = False) -> None:
        self.ours, self.plain = (CollectorRegistry(auto_describe=False) for _ in range(2))
        seconds = Seconds("s", "s", buckets=BUCKETS, registry=self.ours)
        counter = Counter("n", "n", LABELS, registry=self.ours)
        self.answers = Answers(counter, seconds, BUCKETS, is_shared=is_shared)
        self.seconds = Histogram("s", "s", buckets=BUCKETS, registry=self.plain)
        self.counter = Counter("n", "n", LABELS, registry=self.plain)

    def add(self, path: str, agent: str, status: int, seconds: float) -> None:
        self.answers.add(path, agent, status, seconds)
        self.counter.labels(document_of(path), client_of(agent), status).inc()
        self.seconds.observe(seconds)

    def read(self) -> Iterator[set[bytes]]:
        for registry in (self.ours, self.plain):
            yield set(generate_latest(registry).splitlines())


@settings(deadline=None)
@given(STEPS)
def test_the_sums_are_those_of_one_at_a_time(steps: Steps) -> None:
    """However often they are read in between (None)."""
    both = Both()
    for step in [*steps, None]:
        if step is not None:
            both.add(*step)
        else:
            both.answers.pass_on()
            ours, plain = both.read()
            assert ours == plain


def test_there_is_no_end_of_paths_but_one_of_what_is_remembered() -> None:
    both = Both()
    for number in range(3000):
        both.add(f"/{number}", "", 404, 0.5)
    assert len(both.answers._counts) <= 1001
    assert len(both.answers._counters) <= 1000
    both.answers.pass_on()
    ours, plain = both.read()
    assert ours == plain


@pytest.mark.parametrize("count", [1, 50])
async def test_others_know_of_them_a_moment_later(count: int) -> None:
    both = Both(is_shared=True)
    for _ in range(count):
        both.add("/", "curl/8", 200, 0.25)
    await asyncio.sleep(0)
    ours, plain = both.read()
    assert ours == plain
