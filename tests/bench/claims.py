"""What the limits cost each row that is claimed: on an empty database, and with 100 000 SMS sent in thirty days.

python -m tests.bench.claims
"""

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bridge.clock import SystemClock
from bridge.domain.house import House, Person, SmsRules
from bridge.domain.notification import WATCH, Notification
from bridge.domain.phone import PhoneNumber
from bridge.domain.throttle import AnyWindow, Limits, Month, Window
from bridge.metrics import Metrics
from bridge.outbox import Outbox
from bridge.ports import Live
from storage import open_store
from tests.bench.old_rows import build

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_MOST = 10**6
_WINDOWS: dict[str, tuple[AnyWindow, ...]] = {
    "1h 1d": (Window(_HOUR, _MOST), Window(_DAY, _MOST)),
    "1h 1d 30d": (Window(_HOUR, _MOST), Window(_DAY, _MOST), Window(30 * _DAY, _MOST)),
    "1h 1d month": (Window(_HOUR, _MOST), Window(_DAY, _MOST), Month(_MOST, ZoneInfo("Asia/Almaty"))),
}
_ROWS, _AT_ONCE = 2000, 16
_OLD = {"none": 10, "100 000 in 30 days": 266_667}  # rows of eighty days


async def claimed(folder: Path, old: int, total: tuple[AnyWindow, ...], rows: int = _ROWS) -> tuple[int, float]:
    """How many rows were claimed of so many to as many people, and seconds a row, commits included."""
    people = {f"p{n}": Person(f"p{n}", PhoneNumber(f"+7701{n:07d}")) for n in range(1, rows + 1)}
    limits = Limits((Window(5 * timedelta(minutes=1), 5), Window(_HOUR, 11)), total)
    house = Live(House(people=people, sms=SmsRules(allowed_regions=frozenset({"KZ"})), limits=limits))
    file, now = folder / "bridge.db", datetime.now(UTC)
    build(file, old)
    async with open_store(file) as store:
        due = [
            Notification(10**7 + n, name, now, now, number=person.number, text="x", asked_by=WATCH)
            for n, (name, person) in enumerate(people.items())
        ]
        await store.write(lambda tx: tx.add_notifications(due))
        outbox = Outbox(store, SystemClock(), house, Metrics())
        began, count = time.perf_counter(), 0
        while some := await outbox.claim(_AT_ONCE):
            count += len(some)
        return count, (time.perf_counter() - began) / max(1, count)


def main() -> None:
    """One line for each database and its windows."""
    for sent, old in _OLD.items():
        for windows, total in _WINDOWS.items():
            with tempfile.TemporaryDirectory() as folder:
                count, seconds = asyncio.run(claimed(Path(folder), old, total))
            print(f"sent before: {sent:20} limits.total: {windows:12} {seconds * 1e6:6.0f} µs a row of {count}")


if __name__ == "__main__":
    main()
