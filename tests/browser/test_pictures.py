"""The pictures of docs/page.md can be made: `make pictures` writes them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.browser.conftest import Served
from tests.browser.looking import Looking, Scheme
from tests.browser.views import VIEWS
from tests.cli.command import ROOT

SIZE = (1080, 640)
MOST_BYTES = 200_000

PICTURES: dict[str, tuple[str, Scheme]] = {
    "hosts": (VIEWS["hosts"], "light"),
    "host": (VIEWS["host"], "dark"),
    "guest": ("/instances?drifted=true", "light"),
    "what-if": (VIEWS["what-if-stuck"], "light"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where they are written: docs/images where that was asked for."""
    return ROOT / "docs" / "images" if os.environ.get("MDSVC_PICTURES") else tmp_path


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_made(fleet: Served, looking: Looking, folder: Path, name: str) -> None:
    path, scheme = PICTURES[name]
    page = looking.at(fleet.at + path, SIZE, scheme)
    if name == "guest":
        page.locator("tbody th a").first.click()
        page.wait_for_url("**/instances/*")
    if name == "what-if":
        page.evaluate("scrollTo(0, document.getElementById('answer').offsetTop - 10)")
    page.mouse.move(0, 0)
    page.evaluate("document.fonts.ready")
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{name}.png"
    page.screenshot(path=picture)
    assert 10_000 < picture.stat().st_size < MOST_BYTES


def test_the_page_of_the_manual_shows_each_of_them() -> None:
    shown = re.findall(r"\(images/([\w-]+)\.png\)", (ROOT / "docs/page.md").read_text())
    assert sorted(shown) == sorted(PICTURES)
    there = {picture.stem for picture in (ROOT / "docs/images").glob("*.png")}
    assert there == PICTURES.keys()
