import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import SqliteStore, migrate, open_store


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with nothing in it; a copy costs a tenth of migrating anew."""
    path = tmp_path_factory.mktemp("empty") / "bridge.db"
    migrate(path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "bridge.db"


@pytest.fixture
async def store(empty: Path, file: Path) -> AsyncIterator[SqliteStore]:
    """An empty store; the verbs are tested against ports.Store, whichever database is behind it."""
    file.parent.mkdir(exist_ok=True)
    shutil.copy(empty, file)
    async with open_store(file) as opened:
        yield opened
