"""The dashboard and the alert rules, with what Prometheus itself says of them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdsvc.app import figures_of
from mdsvc.metrics import Metrics
from mdsvc.store.memory import MemoryStore

ROOT = Path(__file__).parents[2]
PROMTOOL = ROOT / ".cache/prometheus/usr/bin/promtool"
DASHBOARD = ROOT / "docs/monitoring/dashboard.json"
ALERTS = ROOT / "docs/monitoring/alerts.yaml"
TOLD = ROOT / "docs/monitoring.md"
BY_HISTOGRAM = ("_bucket", "_count", "_sum")


def promtool(*arguments: str, stdin: bytes = b"") -> str:
    """What it says; it must be content."""
    command = [str(PROMTOOL), *arguments]
    done = subprocess.run(
        command, input=stdin, capture_output=True, check=False, cwd=ALERTS.parent, timeout=120
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


async def figures() -> bytes:
    metrics = figures_of(MemoryStore()).metrics
    metrics.watch("mdsvc_waiting", "Requests that wait for a change.", lambda: 0)
    metrics.watch("mdsvc_cache_bytes", "Rendered documents that are kept.", lambda: 0)
    metrics.watch("mdsvc_namespaces", "Network namespaces.", lambda: 2)
    metrics.watch("mdsvc_namespaces_failing", "Those that cannot be listened in.", lambda: 0)
    metrics.answered("/openstack", "curl/8", 200, 0.01)
    metrics.fitted("fits")
    return await metrics.text()


async def figures_of_an_overlay() -> bytes:
    metrics = Metrics(None)
    metrics.upstream_asked("ok")
    metrics.last_good_served()
    return await metrics.text()


async def test_prometheus_takes_the_figures() -> None:
    assert promtool("check", "metrics", stdin=await figures()) == ""
    assert promtool("check", "metrics", stdin=await figures_of_an_overlay()) == ""


def test_prometheus_takes_the_rules_and_they_do_what_they_say() -> None:
    promtool("check", "rules", ALERTS.name)
    promtool("test", "rules", "alerts.test.yaml")


def queries() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


@pytest.mark.parametrize("query", list(queries()))
def test_prometheus_takes_each_query_of_the_dashboard(query: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rule = {"record": "one", "expr": query}
    rules.write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    promtool("check", "rules", str(rules))


async def test_all_that_is_asked_for_is_told() -> None:
    both = await figures() + await figures_of_an_overlay()
    told = set(re.findall(r"# TYPE (\S+)", both.decode()))
    told |= {"mdsvc_pcpus", "mdsvc_instances"}  # of an empty fleet there are none
    told |= {f"mdsvc_request_seconds{suffix}" for suffix in BY_HISTOGRAM}
    asked = set(re.findall(r"mdsvc_[a-z_]+", " ".join(queries()) + ALERTS.read_text()))
    assert asked <= told
    documented = set(re.findall(r"`(mdsvc_[a-z_]+)", TOLD.read_text()))
    assert documented == told - {f"mdsvc_request_seconds{suffix}" for suffix in BY_HISTOGRAM}


def test_each_alert_is_explained() -> None:
    names = re.findall(r"alert: (\w+)", ALERTS.read_text())
    assert [name for name in names if f"`{name}`" not in TOLD.read_text()] == []
