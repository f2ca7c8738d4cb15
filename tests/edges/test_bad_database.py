"""`run` on a database that it must not use: one sentence, exit code 1, and nothing in it is changed."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest

from storage import migrate
from storage.store import _alone
from tests.edges.cli_scene import a_config, typed
from tests.faults.life import CONFIG

Arrange = Callable[[Path], None]


def everything_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder with who may use it and what is in it; not our lock, and SQLite's memory of the log."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith((".lock", "-shm", "-wal"))
    }


def a_diary(file: Path) -> None:
    file.write_text("dear diary, " * 1000)
    file.chmod(0o644)


def another_programs(file: Path) -> None:
    with closing(sqlite3.connect(file)) as raw:
        raw.executescript("CREATE TABLE dashboard (id INTEGER PRIMARY KEY); INSERT INTO dashboard VALUES (1)")
    file.chmod(0o644)


def a_newer_program_s(file: Path) -> None:
    migrate(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")


def cut_off(file: Path) -> None:
    migrate(file)
    os.truncate(file, file.stat().st_size // 2)


def without_a_column(file: Path) -> None:
    migrate(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        raw.execute("ALTER TABLE notification RENAME COLUMN reason TO reeson")


@pytest.mark.parametrize(
    ("arrange", "sentence"),
    [
        (Path.mkdir, "bridge.db: cannot open this database: it is a folder; let storage.url name a file in it"),
        (a_diary, "bridge.db: this database is damaged (file is not a database); move it away"),
        (another_programs, "bridge.db: this database is damaged (it lacks tables of ours); move it away"),
        (a_newer_program_s, "bridge.db: its schema is version 9999, and this program knows no newer than 0006; run"),
        (cut_off, "bridge.db: this database is damaged (database disk image is malformed); move it away"),
        (without_a_column, "bridge.db: this database is damaged (its table notification has no column reason); move"),
    ],
)
def test_what_is_no_database_of_ours_is_named_and_left_as_it_is(
    tmp_path: Path, arrange: Arrange, sentence: str
) -> None:
    config = a_config(tmp_path, CONFIG.format(mobizon="http://127.0.0.1:9"))
    arrange(tmp_path / "bridge.db")
    before = everything_in(tmp_path)
    said = typed("run", "--config", config)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert sentence in said.err
    assert everything_in(tmp_path) == before


@contextmanager
def in_use(file: Path) -> Iterator[None]:
    migrate(file)
    with _alone(file):
        yield


def nobody_may_write(folder: Path) -> str:
    """Where not even root may make a file; for others a folder that they may not change."""
    if os.geteuid() == 0:
        return "/sys/bridge.db"
    (folder / "mine").mkdir(mode=0o500)
    return "mine/bridge.db"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "sqlite:bridge.db",
            "bridge.db is in use by another sms-bridge; stop that one, or give this one a storage.url",
        ),
        ("sqlite:config.yaml/bridge.db", "config.yaml/bridge.db: cannot open this database: "),
        ("FORBIDDEN", "bridge.db: cannot open this database: "),
        ("postgresql://127.0.0.1:1/bridge", "storage.url: "),
        ("bridge.db", "storage.url: "),
    ],
)
def test_a_place_that_cannot_be_used_is_named(tmp_path: Path, url: str, sentence: str) -> None:
    url = url.replace("FORBIDDEN", f"sqlite:{nobody_may_write(tmp_path)}")
    config = a_config(tmp_path, CONFIG.format(mobizon="http://127.0.0.1:9").replace("sqlite:bridge.db", url))
    with in_use(tmp_path / "bridge.db") if url == "sqlite:bridge.db" else nullcontext():
        before = everything_in(tmp_path)
        said = typed("run", "--config", config)
        assert everything_in(tmp_path) == before
    assert (said.code, said.out) == (1, "")
    assert sentence in said.err
