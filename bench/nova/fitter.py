"""Nova's own fitter, asked by JSON lines: one line in, one line out.

It runs under the interpreter of `.venv-nova` alone and imports nothing of the project;
`bench/nova_process.py` starts it. Operations, named by `"op"`:

`time`
    `{"host": HOST, "guest": [[shared, dedicated]...], "seconds": S, "limit": S}` -> for so many
    seconds the microseconds of each call, and whether it fits; `null` for both where a call takes
    longer than the limit.
`stream`
    `{"host": HOST, "events": [[guest, vcpus, require]...]}` -> the guests that had a place when
    they came, once as Nova places them by default and once packing; a guest of no vCPUs leaves.
"""
# mypy: disable-error-code="import-not-found,import-untyped,attr-defined,misc"

import copy
import json
import logging
import signal
import sys
import time
import warnings
from typing import Any

# Nova's dependencies announce the end of eventlet on every start.
warnings.simplefilter("ignore")

from nova import conf, objects  # noqa: E402
from nova.virt import hardware  # noqa: E402
from oslo_log import log  # noqa: E402 - Nova must come after the filter above

Json = dict[str, Any]

VCPU_MB = 256
LIMITS = {"cpu_allocation_ratio": 16.0, "ram_allocation_ratio": 1.0}


def configure() -> None:
    """Nova's defaults and no logging at all, without the configuration files of the machine."""
    logging.disable(logging.CRITICAL)
    objects.register_all()
    log.register_options(conf.CONF)
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])


def topology(form: Json) -> Any:
    """The host of a JSON form."""
    shared, dedicated = (_cpus(form[f"cpu_{kind}_set"]) for kind in ("shared", "dedicated"))
    cells = [_cell(cell, shared, dedicated) for cell in form["cells"]]
    return objects.NUMATopology(cells=cells)


def _cell(form: Json, shared: set[int], dedicated: set[int]) -> Any:
    cpus = _cpus(form["cpus"])
    pages = [
        objects.NUMAPagesTopology(size_kb=pool["size_kb"], total=pool["total"], used=0, reserved=0)
        for pool in form["pages"]
    ]
    return objects.NUMACell(
        id=form["id"],
        cpuset=cpus & shared,
        pcpuset=cpus & dedicated,
        memory=form["memory_mb"],
        socket=form["id"],
        cpu_usage=0,
        memory_usage=0,
        pinned_cpus=_cpus(form["pinned"]),
        siblings=[_cpus(core) for core in form["siblings"]],
        mempages=pages,
    )


def _cpus(text: str) -> set[int]:
    return {int(cpu) for cpu in text.split(",") if cpu}


def guest(sizes: list[list[int]], threads: str | None = None) -> Any:
    """A guest of cells of (shared, dedicated) vCPUs."""
    policy = "mixed" if any(shared for shared, _ in sizes) else "dedicated"
    cells, first = [], 0
    for at, (shared, dedicated) in enumerate(sizes):
        vcpus = list(range(first, first + shared + dedicated))
        first += len(vcpus)
        cells.append(
            objects.InstanceNUMACell(
                id=at,
                cpuset=set(vcpus[:shared]),
                pcpuset=set(vcpus[shared:]),
                memory=VCPU_MB * len(vcpus),
                cpu_policy=policy,
                cpu_thread_policy=threads,
            )
        )
    return objects.InstanceNUMATopology(cells=cells)


def timed(question: Json) -> Json:
    """A fit changes the guest that it is asked for, so each call has a copy of its own."""
    host, wanted = topology(question["host"]), guest(question["guest"])
    limits = objects.NUMATopologyLimits(**LIMITS)
    times: list[float] = []
    found = None
    signal.signal(signal.SIGALRM, _out_of_time)
    end = time.perf_counter() + question["seconds"]
    while not times or time.perf_counter() < end:
        asked = copy.deepcopy(wanted)
        signal.setitimer(signal.ITIMER_REAL, question["limit"])
        try:
            start = time.perf_counter_ns()
            found = hardware.numa_fit_instance_to_host(host, asked, None, limits)
            times.append((time.perf_counter_ns() - start) / 1000)
        except TimeoutError:
            return {"times": None, "fits": None}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return {"times": times, "fits": found is not None}


def _out_of_time(_number: int, _frame: object) -> None:
    raise TimeoutError


def streamed(question: Json) -> Json:
    """Let guests of one cell come and leave."""
    accepted = []
    for pack in (False, True):
        name = "packing_host_numa_cells_allocation_strategy"
        conf.CONF.set_override(name, pack, group="compute")
        accepted.append(_accepted(topology(question["host"]), question["events"]))
    return {"accepted": accepted}


def _accepted(host: Any, events: list[Any]) -> list[int]:
    cells, placed, accepted = {cell.id: cell for cell in host.cells}, {}, []
    for number, vcpus, require in events:
        if vcpus:
            wanted = guest([[0, vcpus]], "require" if require else None)
            found = hardware.numa_fit_instance_to_host(host, wanted, None)
            if found is not None:
                (placed[number],) = found.cells
                _use(cells, placed[number], +1)
                accepted.append(number)
        elif number in placed:
            _use(cells, placed.pop(number), -1)
    return accepted


def _use(cells: Json, used: Any, sign: int) -> None:
    """What Nova's usage update does to the host's cell."""
    cell, pcpus = cells[used.id], set(used.cpu_pinning.values())
    (cell.pin_cpus if sign > 0 else cell.unpin_cpus)(pcpus)
    cell.memory_usage += sign * used.memory


OPERATIONS = {"time": timed, "stream": streamed}


def main() -> None:
    """Serve standard input until it ends."""
    configure()
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(OPERATIONS[question["op"]](question)), flush=True)


if __name__ == "__main__":
    main()
