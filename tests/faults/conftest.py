"""Where lives come from."""

from collections.abc import AsyncIterator

import pytest

from tests.faults.tracing import Lives, lives


@pytest.fixture
async def nursery() -> AsyncIterator[Lives]:
    async with lives() as nursery:
        yield nursery
