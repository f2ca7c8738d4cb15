"""Where lives come from."""

import os
from collections.abc import AsyncIterator

import pytest

from tests.faults.tracing import Lives, lives


@pytest.fixture
async def nursery() -> AsyncIterator[Lives]:
    async with lives() as nursery:
        yield nursery


# Under libfaketime a busy machine lets a wait of two hours stand now and then: tried in the long runs only.
collect_ignore = [] if os.environ.get("SMS_BRIDGE_TORTURE") == "long" else ["test_faketime.py"]
