"""The what-if, as a person asks it: the form, and the same reasons that the command gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page

from mdsvc.demo.fleet import STUCK
from mdsvc.forms import to_builtins
from mdsvc.policy.flavor import Flavor
from tests.browser.conftest import Served
from tests.browser.looking import Looking
from tests.browser.views import EASY, what_if
from tests.cli.command import process


def explained(served: Served, flavor: Flavor, hosts: Path) -> dict[str, list[str]]:
    """Each host's reasons, of `mdsvc fit --explain`."""
    hosts.write_text(served.mdsvc("host", "list", "--json").out)
    question = {"flavor": to_builtins(flavor)}
    [answer] = process("fit", "--explain", "--json", "--hosts", str(hosts), stdin=question).lines
    return {
        host["host"]: [reason["message"] for reason in host.get("reasons", ())]
        for host in answer["hosts"]
    }


def shown(page: Page) -> dict[str, list[str]]:
    return dict(
        page.evaluate(
            """() => [...document.querySelectorAll("table")].filter(
                table => [...table.querySelectorAll("thead th")].some(th => th.innerText === "Fits")
            ).flatMap(table => [...table.querySelectorAll("tbody tr")].map(row => [
                row.querySelector("th").innerText,
                [...row.querySelectorAll("li")].map(reason => reason.textContent),
            ]))"""
        )
    )


@pytest.mark.parametrize("flavor", [STUCK, EASY], ids=["stuck", "fits"])
def test_it_shows_the_reasons_that_the_command_gives(
    fleet: Served, looking: Looking, flavor: Flavor, tmp_path: Path
) -> None:
    page = looking.at(fleet.at + what_if(flavor))
    assert shown(page) == explained(fleet, flavor, tmp_path / "hosts.json")


def test_what_is_in_the_way_comes_first_and_the_nearest_host(
    fleet: Served, looking: Looking
) -> None:
    page = looking.at(fleet.at + what_if(STUCK))
    assert page.locator(".problem").inner_text() == "DoesNotFit: fits on none of 37 hosts"
    ways = page.locator("table").first.locator("tbody tr")
    assert ways.count() > 1
    assert sum(int(row.locator("td").first.inner_text()) for row in ways.all()) == 37


def test_a_flavor_is_built_and_asked_by_keyboard_alone(fleet: Served, looking: Looking) -> None:
    page = looking.at(f"{fleet.at}/what-if")
    page.get_by_label("vCPUs", exact=True).fill("6")
    page.get_by_label("CPU policy").select_option("dedicated")
    page.get_by_label("Thread policy").select_option("isolate")
    page.get_by_label("Memory, in MiB").fill("8192")
    page.keyboard.press("Enter")
    page.wait_for_selector(".good")
    assert page.locator("#answer").is_visible()
    assert page.locator("[data-map] .its.pinned").count() == 6
    asked = json.loads(page.locator("#flavor").input_value())
    assert asked["extra_specs"] == {
        "hw:cpu_policy": "dedicated",
        "hw:cpu_thread_policy": "isolate",
    }


def test_one_is_pasted(fleet: Served, looking: Looking) -> None:
    page = looking.at(f"{fleet.at}/what-if")
    page.get_by_text("Or paste one as JSON").click()
    page.get_by_label("Flavor", exact=True).fill(json.dumps(to_builtins(STUCK)))
    page.locator(".paste button").click()
    page.wait_for_selector(".problem")
    assert page.get_by_label("vCPUs", exact=True).input_value() == str(STUCK.vcpus)
