"""Names that somebody else chose do no harm: nothing of them runs, and all stays in place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from mdsvc.control.instances import create_instance
from mdsvc.store import Store
from tests import control_values
from tests.browser.conftest import Served, filled
from tests.browser.looking import NARROW, WIDE, Looking, is_wider_than_the_screen
from tests.cli.values import DEDICATED, flavor

NAMES = {
    "script": "<script>window.hit = 1</script>",
    "image": "<img src=x onerror='window.hit = 1'>",
    "attribute": '" onfocus="window.hit = 1" autofocus x="',
    "end of title": "</title></textarea><svg onload='window.hit = 1'>",
    "right to left": "\u202eevil\u2066 \u05d0\u05d1\u05d2 \u0645\u0631\u062d\u0628\u0627",
    "long": "W" * 255,
    "entity": "&lt;b&gt; &#60;i&#62;",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A guest of each name, whose project and flavor are called so too."""

    async def fill(store: Store) -> None:
        await control_values.fill(store, control_values.host("h1"))
        for number, name in enumerate(NAMES.values()):
            form = asked(name)
            guest = control_values.guest(number, form, name=name, project_id=name)
            await create_instance(store, guest, "h1")

    served = filled(tmp_path_factory.mktemp("hostile"), fill)
    yield served
    served.end()


def asked(name: str) -> dict[str, Any]:
    specs = {**DEDICATED, "custom:note": name}
    return {**flavor(1, 64, specs), "name": name}


def check(page: Page) -> None:
    assert page.evaluate("window.hit") is None
    assert not is_wider_than_the_screen(page)
    assert page.locator("h1").is_visible()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_guests_of_such_names_do_no_harm(
    hostile: Served, looking: Looking, size: tuple[int, int]
) -> None:
    page = looking.at(hostile.at, size)
    guests = [control_values.uuid(number) for number in range(len(NAMES))]
    for path in ("/instances", "/hosts/h1", "/changes", *(f"/instances/{uuid}" for uuid in guests)):
        page.goto(hostile.at + path)
        check(page)
        page.locator("main").hover()
        page.keyboard.press("Tab")
        check(page)


def test_addresses_with_such_names_do_no_harm(hostile: Served, looking: Looking) -> None:
    page = looking.at(hostile.at)
    for name in NAMES.values():
        text = quote(name)
        flavor = quote(json.dumps(asked(name)))
        for path in (
            f"/?q={text}",
            f"/login?next={text}",
            f"/what-if?flavor={flavor}&image={text}",
        ):
            page.goto(hostile.at + path)
            check(page)


def test_a_name_turns_the_direction_of_nothing_around_it(hostile: Served, looking: Looking) -> None:
    page = looking.at(f"{hostile.at}/instances")
    rows = page.locator("tbody tr")
    lefts = [row.locator("td").nth(1).bounding_box() for row in rows.all()]
    assert len({box["x"] for box in lefts if box}) == 1
    assert "\u202e" not in page.content()
