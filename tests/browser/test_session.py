"""Once there is a token, the page asks for it, and keeps a session of its own."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Served
from tests.browser.looking import Looking, serious
from tests.cli.values import host


@pytest.fixture
def token(served: Served) -> str:
    assert served.mdsvc("host", "add", "-", stdin=host("h1")).code == 0
    made = served.mdsvc("token", "create", "alice", "--read-only", "--json")
    return str(made.json["token"])


def test_whoever_has_a_token_gets_in_and_leaves_again(
    served: Served, looking: Looking, token: str
) -> None:
    page = looking.at(f"{served.at}/hosts/h1")
    page.wait_for_url("**/login?next=*")
    page.get_by_label("Token").fill("nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no such token")
    assert serious(page) == []
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_url("**/hosts/h1")
    expect(page.locator("#live")).to_have_text("live")
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert token not in cookie["value"]
    assert page.evaluate("document.cookie") == ""
    refused = page.evaluate("fetch('/v1/hosts').then(answer => answer.status)")
    assert refused == 401
    page.get_by_role("button", name="Log out alice").click()
    page.wait_for_url("**/login")
    assert page.context.cookies() == []
    page.goto(f"{served.at}/hosts/h1")
    page.wait_for_url("**/login?next=*")
    looking.faults = [fault for fault in looking.faults if "401 (Unauthorized)" not in fault]


def test_a_session_ends_with_its_token(served: Served, looking: Looking, token: str) -> None:
    page = looking.at(served.at)
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert served.mdsvc("token", "create", "bob").code == 0
    assert served.mdsvc("token", "revoke", "alice").code == 0
    page.wait_for_timeout(2100)  # as long as a server may take to know
    page.reload()
    page.wait_for_url("**/login*")
    looking.faults.clear()  # its events were refused meanwhile
