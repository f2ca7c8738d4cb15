"""A power cut loses nothing that was accepted, and leaves a database that opens."""

import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from storage import open_store
from tests.faults import power
from tests.faults.life import SAID, message, write_config
from tests.faults.tracing import LONG, lives, needs_strace

IMAGES = 50_000 if LONG else 1000
FILES = ("bridge.db", "bridge.db-wal", "bridge.db-journal")  # the last serves while the first is made
_OPENED = 10  # each so many-th image is opened by our own storage; SQLite recovers the others just so
pytestmark = [needs_strace, pytest.mark.timeout(4 * 3600 if LONG else 300)]


@dataclass(slots=True)
class Findings:
    images: int = 0
    checked: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


async def steps_of(folder: Path, synchronous: str) -> Sequence[power.Step]:
    """A life that keeps webhooks, claims rows and records answers, with many checkpoints in it."""
    write_config(folder, "http://127.0.0.1:9")
    log = folder / "log"
    async with lives() as nursery:
        pragmas = [f"synchronous = {synchronous}", "wal_autocheckpoint = 30"]
        traced = ["-o", str(log), *power.TRACED]
        ended = await nursery.live(folder, traced, does="commits", webhooks=40, padding=1500, pragmas=pragmas)
    assert ended.status == 0
    return power.read_log(log, SAID)


async def cut(steps: Sequence[power.Step], folder: Path, count: int, seed: int) -> Findings:
    """Rebuild so many disks, and look on each for all that had been told."""
    found, place = Findings(), folder / "after"
    place.mkdir()
    for image in power.images(steps, FILES, count, random.Random(seed)):
        for name, content in image.files.items():
            (place / name).write_bytes(content)
        (place / "bridge.db-shm").unlink(missing_ok=True)
        found.images += 1
        if image.told and found.images % _OPENED == 0:
            async with open_store(place / "bridge.db") as store:
                await store.write(lambda tx: tx.set_meta("after", "the cut"))
        _look(place / "bridge.db", image, found)
    return found


def _look(file: Path, image: power.Image, found: Findings) -> None:
    try:
        with closing(sqlite3.connect(file)) as database:
            (sound,) = database.execute("PRAGMA integrity_check").fetchone()
            if sound != "ok":
                found.broken.append(f"cut after {image.cut_after}: {sound}")
            if not image.told:
                return  # it may not even have its tables yet
            bodies = b" ".join(body for (body,) in database.execute("SELECT body FROM receipt")).decode()
            rows = database.execute("SELECT id, attempt, reference, message_id FROM notification").fetchall()
    except sqlite3.DatabaseError as error:
        found.broken.append(f"cut after {image.cut_after}: {error}")
        return
    true = {f"claimed {row} {reference}" for row, attempt, reference, _ in rows if attempt}
    true |= {f"recorded {row} {message_id}" for row, _, _, message_id in rows if message_id}
    for line in image.told:
        word, what = line.split(maxsplit=1)
        found.checked[word] += 1
        if not (message(int(what)) in bodies if word == "kept" else line in true):
            found.lost.append(f"cut after {image.cut_after}: {line}")


async def test_what_was_told_is_there_after_a_power_cut(tmp_path: Path) -> None:
    steps = await steps_of(tmp_path, "FULL")
    found = await cut(steps, tmp_path, IMAGES, seed=1)
    print(f"{len(steps)} steps, {found.images} images, found again: {dict(found.checked)}")
    assert (found.lost, found.broken) == ([], [])
    assert set(found.checked) == {"kept", "claimed", "recorded"}
    checkpoints = sum(isinstance(step, power.Sync) and step.file == "bridge.db" for step in steps)
    assert checkpoints >= 10


async def test_it_shows_a_log_that_is_not_synced_at_each_commit(tmp_path: Path) -> None:
    found = await cut(await steps_of(tmp_path, "NORMAL"), tmp_path, 100, seed=1)
    print(f"synchronous=NORMAL: {len(found.lost)} facts lost in {found.images} images")
    assert found.lost and not found.broken
