"""meta_data.json, asked by guests, against a bare aiohttp server that answers as many bytes.

    make bench, or .venv/bin/python -m bench.serve

Each server is a process of its own on one CPU, the load is on another, in turn, five times. A ratio
is that of the servers' CPU times for an answer, which a busy machine changes little: 1 would be as
cheap as constant bytes by aiohttp's low-level server under the same event loop. By connections that
are kept, and with one for each request; behind Neutron's agent (a signature is checked), and by
address.

    .venv/bin/python -m bench.serve --nova

Instead, against Nova's own metadata API under uWSGI, which is installed into .cache for that: the
same guest, with its signature checked by both, and Nova's cache warm.

    .venv/bin/python -m bench.serve --workers 2

Instead, so many workers against one: what an answer costs all of them together, and where the load
has CPUs of its own beside theirs, how many answers there are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench import uwsgi
from bench.load import Rate, rate, request_of
from bench.servers import (
    BARE,
    CPUS,
    MDSVC,
    SECRET,
    SIGNED,
    UUID,
    Served,
    filled,
    mdsvc,
    server,
)  # fmt: skip

ROUNDS = 5
PATH = "/openstack/latest/meta_data.json"
BY_ADDRESS = {"User-Agent": "Cloud-Init/24.4"}
KEPT = {True: "connections are kept", False: "a connection for each request"}


class Rounds(NamedTuple):
    """What two servers have done in turn."""

    ours: list[Rate]
    other: list[Rate]

    def ratio(self, value: Callable[[Rate, Rate], float]) -> str:
        """Of each round's two; the median, the least and the most."""
        low, *_, high = ratios = sorted(map(value, self.ours, self.other))
        return f"{statistics.median(ratios):5.2f} ({low:.2f} to {high:.2f})"


def median(rates: list[Rate]) -> Rate:
    """Of each figure by itself."""
    return Rate(*(statistics.median(each) for each in zip(*rates, strict=True)))


def cheaper(ours: Rate, other: Rate) -> float:
    """By CPU time."""
    return other.microseconds / ours.microseconds


def quicker(ours: Rate, other: Rate) -> float:
    """By answers in a second."""
    return ours.answers / other.answers


def in_turn(
    ours: Served,
    other: Served,
    headers: Mapping[str, str],
    kept: bool,
    measure: Callable[..., Rate] = rate,
) -> Rounds:
    request = request_of(PATH, headers, kept)
    pairs = [(measure(*ours, request, kept), measure(*other, request, kept)) for _ in range(ROUNDS)]
    return Rounds(*(list(each) for each in zip(*pairs, strict=True)))


# ---- bare aiohttp ----


def beside_bare(store: str, directory: Path) -> None:
    with mdsvc(store, "neutron") as signed_for, mdsvc(store, "address") as addressed:
        url = f"http://127.0.0.1:{addressed.port}{PATH}"
        with urllib.request.urlopen(url) as reply:
            size = len(reply.read())
        script = directory / "bare.py"
        script.write_text(BARE)
        print(f"meta_data.json, {size} bytes:")
        print("  CPU time for an answer of mdsvc, of bare aiohttp, and their ratio; answers")
        with server([sys.executable, str(script), str(size)]) as bare:
            for kept in (True, False):
                print(KEPT[kept])
                for name, ours, headers in (
                    ("behind Neutron", signed_for, SIGNED),
                    ("by address", addressed, BY_ADDRESS),
                ):
                    print(f"  {name:15}", end="", flush=True)
                    rounds = in_turn(ours, bare, headers, kept)
                    mine, plain = map(median, rounds)
                    print(
                        f"  {mine.microseconds:7.1f} µs  {plain.microseconds:7.1f} µs "
                        f" {rounds.ratio(cheaper)}  {mine.answers:8.0f}/s"
                    )


# ---- Nova ----


def beside_nova(store: str) -> None:
    uwsgi.install()
    command = [*MDSVC, "instance", "show", UUID, "--json", "--store", store]
    guest = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    print("meta_data.json of one guest, of Nova's handler under uWSGI and of mdsvc, signatures")
    print("checked by both: CPU time for an answer, and answers in a second, each with the ratio")
    for kept in (False, True):
        with mdsvc(store, "neutron") as ours, uwsgi.nova(guest, SECRET, kept) as nova:
            rounds = in_turn(ours, nova, SIGNED, kept)
            mine, theirs = map(median, rounds)
            print(KEPT[kept] + (", by uWSGI's own router" if kept else ""))
            print(
                f"  CPU  Nova {theirs.microseconds:7.1f} µs  mdsvc {mine.microseconds:7.1f} µs "
                f" {rounds.ratio(cheaper)}"
            )
            print(
                f"  rate Nova {theirs.answers:7.0f}/s  mdsvc {mine.answers:7.0f}/s "
                f" {rounds.ratio(quicker)}"
            )


# ---- workers ----


def beside_one(store: str, workers: int) -> None:
    """The load needs a CPU for each worker, as it works as much as they do."""
    has_room = len(CPUS) >= 2 * workers
    theirs = CPUS[:workers] if has_room else CPUS[:1]
    print(f"meta_data.json, {workers} workers and one: CPU time for an answer of all together")
    if not has_room:
        print(
            f"  {len(CPUS)} CPUs are no room for the load: expected {2 * workers}. So all workers"
        )
        print("  are on one CPU, and no rate is told, only what they cost one another")
    with ExitStack() as stack:
        several = stack.enter_context(mdsvc(store, "neutron", workers, theirs))
        one = stack.enter_context(mdsvc(store, "neutron", 1, theirs[:1]))
        for kept in (True, False):
            rounds = in_turn(several, one, SIGNED, kept, by_many if has_room else rate)
            all_of_them, alone = map(median, rounds)
            print(KEPT[kept])
            print(
                f"  CPU  {workers} workers {all_of_them.microseconds:7.1f} µs "
                f" one {alone.microseconds:7.1f} µs  {rounds.ratio(cheaper)}"
            )
            if has_room:
                print(
                    f"  rate {workers} workers {all_of_them.answers:7.0f}/s "
                    f" one {alone.answers:7.0f}/s  {rounds.ratio(quicker)}"
                )


def by_many(port: int, pid: int, request: bytes, kept: bool) -> Rate:
    """By a load on each of the CPUs that the servers leave. Each sees the servers' CPU time, and of
    the answers its own.
    """
    cpus = CPUS[len(CPUS) // 2 :]
    with ProcessPoolExecutor(len(cpus)) as pool:
        loads = [pool.submit(_by_one, cpu, port, pid, request, kept) for cpu in cpus]
        rates = [load.result() for load in loads]
    together = 1 / sum(1 / each.microseconds for each in rates)
    return Rate(sum(each.answers for each in rates), together)


def _by_one(cpu: int, port: int, pid: int, request: bytes, kept: bool) -> Rate:
    os.sched_setaffinity(0, {cpu})
    return rate(port, pid, request, kept)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="bench.serve")
    parser.add_argument("--nova", action="store_true", help="against Nova's own under uWSGI")
    parser.add_argument("--workers", type=int, default=1, help="so many workers against one")
    asked = parser.parse_args()
    if not asked.workers > 1 or len(CPUS) < 2 * asked.workers:
        os.sched_setaffinity(0, {CPUS[-1]})
    print(f"32 connections, medians of {ROUNDS} rounds in turn; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as directory:
        store = filled(directory)
        if asked.nova:
            beside_nova(store)
        elif asked.workers > 1:
            beside_one(store, asked.workers)
        else:
            beside_bare(store, Path(directory))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
