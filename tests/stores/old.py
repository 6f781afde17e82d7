"""Databases as older releases made them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from msgspec.structs import replace

from mdsvc.instance import Address
from mdsvc.store.records import GUEST, HOST, pack

from .values import guest, host, uuid

VERSION_1 = """
CREATE TABLE meta (name VARCHAR(64) NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (name));
CREATE TABLE hosts (name VARCHAR(255) NOT NULL, generation INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (name));
CREATE TABLE instances (uuid VARCHAR(36) NOT NULL, host VARCHAR(255) NOT NULL,
    generation INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (uuid),
    FOREIGN KEY(host) REFERENCES hosts (name));
CREATE INDEX ix_instances_host ON instances (host);
CREATE TABLE addresses (ip VARCHAR(64) NOT NULL, network VARCHAR(255) NOT NULL,
    uuid VARCHAR(36) NOT NULL, PRIMARY KEY (ip, network),
    FOREIGN KEY(uuid) REFERENCES instances (uuid) ON DELETE CASCADE);
CREATE INDEX ix_addresses_uuid ON addresses (uuid);
CREATE TABLE passwords (uuid VARCHAR(36) NOT NULL, password BLOB NOT NULL, PRIMARY KEY (uuid),
    FOREIGN KEY(uuid) REFERENCES instances (uuid) ON DELETE CASCADE);
INSERT INTO meta VALUES ('schema', 1);
"""
"""As the first release made them."""

MAC = "fa:16:3e:00:00:01"
_ADDRESS = Address("net-a", "10.0.0.5", MAC)
GUESTS = [replace(guest(1), addresses=(_ADDRESS,)), guest(2)]
HOSTS = [host("h1"), host("h2")]


def make_version_1(path: Path) -> None:
    """Two hosts, whose generations have come further than those of their guests, and guests."""
    database = sqlite3.connect(path)
    database.executescript(f"PRAGMA journal_mode = WAL; {VERSION_1}")
    rows = [(h.name, 40 + n, pack(HOST, h.name, h)) for n, h in enumerate(HOSTS)]
    database.executemany("INSERT INTO hosts VALUES (?, ?, ?)", rows)
    guests = [(g.uuid, g.host, g.generation, pack(GUEST, g.uuid, g)) for g in GUESTS]
    database.executemany("INSERT INTO instances VALUES (?, ?, ?, ?)", guests)
    database.execute("INSERT INTO addresses VALUES ('10.0.0.5', 'net-a', ?)", [uuid(1)])
    database.execute("INSERT INTO passwords VALUES (?, ?)", [uuid(1), b"secret"])
    database.commit()
    database.close()
