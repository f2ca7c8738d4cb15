"""The storage edge: ports.Store on SQLite, its statements written in SQLAlchemy Core."""

from storage.schema import SchemaTooNew, head_revision
from storage.store import (
    SqliteStore,
    StoreBusy,
    backup,
    current_revision,
    library_advice,
    migrate,
    open_store,
)

__all__ = [
    "SchemaTooNew",
    "SqliteStore",
    "StoreBusy",
    "backup",
    "current_revision",
    "head_revision",
    "library_advice",
    "migrate",
    "open_store",
]
