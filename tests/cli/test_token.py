"""`mdsvc token`: a secret is shown once, and is in no store and no list."""

from __future__ import annotations

from pathlib import Path

from tests.cli.command import Mdsvc


def test_a_token_is_shown_once_and_listed_without_its_secret(mdsvc: Mdsvc, file: Path) -> None:
    created = mdsvc("token", "create", "alice", "--json")
    assert created.json.keys() == {"name", "token", "read_only"}
    assert (created.json["name"], created.json["read_only"]) == ("alice", False)
    reading = mdsvc("token", "create", "grafana", "--read-only")
    assert reading.out.startswith("mdsvc_")
    assert "once" in reading.err
    listed = mdsvc("token", "list", "--json")
    assert [(each["name"], each["read_only"]) for each in listed.json] == [
        ("alice", False),
        ("grafana", True),
    ]
    assert listed.json[0].keys() == {"name", "read_only", "created_at", "used_at"}
    table = mdsvc("token", "list").out
    assert "grafana" in table
    assert "never" in table
    stored = b"".join(path.read_bytes() for path in file.parent.glob("store.db*"))
    for secret in (created.json["token"], reading.out.strip()):
        assert len(secret) > 40
        assert secret.encode() not in stored
        assert secret not in listed.out + table


def test_a_name_is_taken_until_it_is_revoked(mdsvc: Mdsvc) -> None:
    assert mdsvc("token", "create", "alice").code == 0
    assert mdsvc("token", "create", "alice").code == 3
    revoked = mdsvc("token", "revoke", "alice", "--json")
    assert (revoked.code, revoked.json) == (0, {"name": "alice", "deleted": True})
    assert mdsvc("token", "revoke", "alice").code == 4
    assert "no tokens" in mdsvc("token", "list").out
    assert mdsvc("token", "create", "alice").code == 0


def test_a_name_is_plain(mdsvc: Mdsvc) -> None:
    for name in ("", "a b", "ä", "x" * 65, "-a", "a/b"):
        refused = mdsvc("token", "create", "--", name)
        assert refused.code == 2
        assert "name: expected" in refused.err
