"""What every page has, whatever is on it: landmarks, names, no outside, and no harm by names."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from mdsvc.control.draining import drain_host
from mdsvc.control.instances import create_instance
from mdsvc.store import Store
from mdsvc.web.door import HEADERS
from tests.control_values import FLOATING, fill, guest, host, uuid
from tests.http.wire import Wire
from tests.web.conftest import Look, page_of
from tests.web.reading import Node

HOSTILE = "<script>alert('1')</script>\u202e\" onx=\"&lt;" + "W" * 212
PATHS = [
    "/",
    "/?q=%3Cscript%3E&sort=-free",
    "/hosts/h1",
    "/instances",
    f"/instances/{uuid(1)}",
    f"/instances/{uuid(2)}",
    "/what-if",
    "/what-if?flavor=%3Cscript%3E&image=%22",
    "/what-if?flavor=%7B%22vcpus%22%3A2%2C%22memory_mb%22%3A64%7D",
    "/changes",
    "/login?next=%22%3E%3Cscript%3E",
]
WRONG = {
    "/hosts/%3Cscript%3E": 404,
    "/hosts/%00": 404,
    "/instances/nonsense": 404,
    "/?sort=%3Cscript%3E": 400,
    "/?page=0": 400,
    "/instances?marker=x": 400,
}


@pytest.fixture
async def store(store: Store) -> Store:
    await fill(store, host("h1"), host("h2", service_version=1))
    await create_instance(store, guest(1, name=HOSTILE, project_id=HOSTILE), "h1")
    await create_instance(store, guest(2, FLOATING, name="web"), "h1")
    await drain_host(store, "h1")
    return store


def check(page: Node) -> None:
    assert page.one("html")["lang"] == "en"
    assert page.one("title").text.endswith(" · mdsvc")
    for tag in ("h1", "main", "header"):
        page.one(tag)
    assert page.one("a", class_="skip")["href"] == f"#{page.one('main')['id']}"
    ids = Counter(node["id"] for node in page.walk() if node.get("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    _check_named(page)
    _check_inside(page)


def _check_named(page: Node) -> None:
    """Whatever takes something or leads somewhere has a name."""
    for link in page.every("a"):
        assert link.get("aria-label") or link.text.strip()
    labels = page.every("label")
    pointed_at = {label.get("for") for label in labels}
    inside = [field for label in labels for field in label.walk()]
    for field in (*page.every("input"), *page.every("textarea")):
        is_named = field in inside or field.get("id") in pointed_at - {None}
        assert is_named or field.get("type") == "hidden"
    for table in page.every("table"):
        assert table.one("caption").text
        assert all(head.get("scope") for head in table.every("th"))


def _check_inside(page: Node) -> None:
    """Nothing is fetched from elsewhere, and nothing runs or is styled that is not of a file."""
    for node in page.walk():
        for name, value in node.attributes.items():
            assert not name.startswith("on")
            assert name != "style"
            if name in ("href", "src", "action"):
                assert re.match(r"/(?!/)|#", value or ""), value
    assert [script.text for script in page.every("script")] == [""]
    assert page.every("style") == []


@pytest.mark.parametrize("path", PATHS)
async def test_each_view_is_a_whole_page(look: Look, path: str) -> None:
    check(await look(path))


@pytest.mark.parametrize(("path", "status"), WRONG.items())
async def test_what_is_wrong_is_said_on_a_whole_page(wire: Wire, path: str, status: int) -> None:
    page = page_of(await wire(path), status)
    check(page)
    assert page.one(role="alert").text


@pytest.mark.parametrize("path", [*PATHS, *WRONG, "/assets/page.js", "/assets/page.css"])
async def test_nothing_but_its_own_files_is_let_in_by_any_answer(wire: Wire, path: str) -> None:
    reply = await wire(path)
    assert {name: reply.headers[name] for name in HEADERS} == dict(HEADERS)
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_where_one_is_is_marked(look: Look) -> None:
    marked = {
        path: [a.text for a in (await look(path)).every("a", aria_current="page")]
        for path in ("/", "/hosts/h1", "/instances", f"/instances/{uuid()}", "/changes")
    }
    assert list(marked.values()) == [["Hosts"], ["Hosts"], ["Guests"], ["Guests"], ["Changes"]]


async def test_assets_are_where_the_page_says(wire: Wire, look: Look) -> None:
    page = await look("/")
    links = [link["href"] for link in page.every("link")]
    for address in (*links, page.one("script")["src"]):
        reply = await wire(address)
        assert reply.status == 200
        assert "immutable" in reply.headers["Cache-Control"]
        text = reply.text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|@import|url\(", text)


async def test_pages_are_not_kept(wire: Wire) -> None:
    assert (await wire("/")).headers["Cache-Control"] == "no-store"


async def test_the_page_can_be_asked_for_its_head(wire: Wire) -> None:
    reply = await wire("/", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
