"""The schema's versions: alembic's migrations, run inside a connection of ours."""

import hashlib
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from storage.tables import TRIGGERS, metadata

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaTooNew(Exception):
    """A newer program has written this database; ours would misread it."""


def head_revision() -> str:
    """The version this program writes."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def revision_of(connection: Connection) -> str | None:
    """The version the database has; None before its first migration."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection, name: str) -> None:
    """Bring the database called `name` to the head, inside the caller's transaction; raises SchemaTooNew."""
    found = revision_of(connection)
    if found == head_revision():
        return
    if found is not None and found not in {script.revision for script in _scripts().walk_revisions()}:
        raise SchemaTooNew(
            f"{name}: its schema is version {found}, and this program knows no newer than {head_revision()}; "
            "run the newer sms-bridge, or put back a backup of the time before it"
        )
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")


def lacking(connection: Connection) -> str:
    """A column or trigger of ours that the database lacks, in words; empty when it has all: damage hits these too."""
    for table in metadata.tables.values():
        there = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")}
        if missing := [column.name for column in table.c if column.name not in there]:
            return f"its table {table.name} has no column {missing[0]}"
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    triggers: dict[str, str] = {row[0]: row[1] for row in rows}
    for name, digest in TRIGGERS.items():
        if hashlib.sha256(triggers.get(name, "").encode()).hexdigest() != digest:
            return f"its trigger {name} is {'another' if name in triggers else 'not there'}"
    return ""


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(MIGRATIONS)
