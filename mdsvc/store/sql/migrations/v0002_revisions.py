"""revisions of the whole store"""  # noqa: D415  # shown after a number

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

from mdsvc.store.sql.ddl import add_column, create_index, rename_column

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """A host's generations were its own, and began anew with it. They are renamed, so that an older
    program that still runs fails when it writes, instead of writing past the revisions.
    """
    rename_column("hosts", "generation", "revision")
    add_column("instances", Column("revision", BigInteger, nullable=False, server_default="0"))
    create_index("hosts_by_revision", "hosts", ["revision", "name"])
    create_index("instances_by_revision", "instances", ["revision", "uuid"])
    op.execute("UPDATE instances SET revision = generation")
    op.execute(
        "INSERT INTO meta (name, value) SELECT 'revision', coalesce(max(revision), 0) FROM"
        " (SELECT revision FROM hosts UNION ALL SELECT revision FROM instances) AS every_one"
    )
    op.execute(
        "INSERT INTO meta (name, value) SELECT 'fleet', value FROM meta WHERE name = 'revision'"
    )
