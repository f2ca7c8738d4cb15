"""What the bench of the limits claims is all that was due."""

from datetime import timedelta
from pathlib import Path

from bridge.domain.throttle import Window
from tests.bench.claims import claimed


async def test_every_row_is_claimed(tmp_path: Path) -> None:
    count, seconds = await claimed(tmp_path, 50, (Window(timedelta(hours=1), 1000),), rows=40)
    assert (count, seconds > 0) == (40, True)
