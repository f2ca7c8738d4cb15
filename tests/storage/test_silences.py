"""Silences in the store: one an incident, found when its next step is due."""

from dataclasses import replace

from bridge.domain.silence import SilenceState
from bridge.ports import Store
from tests.storage.values import HOUR, MINUTE, NOW, SECOND, silence


async def test_the_newest_silence_of_an_incident_is_read_back_whole(store: Store) -> None:
    whole = silence(1, source_id="one", undone_by="dana", failures=2, problem="away", gone_since=NOW + SECOND)
    for newer in (silence(1), whole, silence(2)):
        await store.write(lambda tx: tx.save_silence(newer))  # noqa: B023 - written at once
    assert await store.read(lambda tx: tx.silence(1)) == whole
    assert await store.read(lambda tx: tx.silences_of([1, 2, 3])) == [whole, silence(2)]
    assert await store.read(lambda tx: tx.silence(3)) is None


async def test_what_is_due_comes_the_longest_overdue_first_and_what_is_settled_never(store: Store) -> None:
    later, first = silence(1), silence(2, next_at=NOW - MINUTE)
    for one in (later, first, silence(3, next_at=NOW + SECOND), silence(4).settled()):
        await store.write(lambda tx: tx.save_silence(one))  # noqa: B023 - written at once
    assert await store.read(lambda tx: tx.silences_due(NOW, 9)) == [first, later]
    assert await store.read(lambda tx: tx.silences_due(NOW, 1)) == [first]
    assert (await store.read(lambda tx: tx.next_due()))["silences"] == NOW - MINUTE


async def test_a_clock_that_was_set_moves_what_we_wait_for_but_no_end_that_a_source_was_told(store: Store) -> None:
    wanted = silence(1)
    active = silence(2).created("two")
    over = silence(3, state=SilenceState.OVER, next_at=None)
    for one in (wanted, active, over):
        await store.write(lambda tx: tx.save_silence(one))  # noqa: B023 - written at once
    await store.write(lambda tx: tx.move_waits(-HOUR, claimed_after=NOW))
    moved = replace(wanted, asked_at=NOW - HOUR, next_at=NOW - HOUR)
    assert await store.read(lambda tx: tx.silences_of([1, 2, 3])) == [moved, active, over]


async def test_a_silence_is_forgotten_once_it_is_settled_and_old(store: Store) -> None:
    for one in (silence(1).settled(), silence(2), silence(3, ends_at=NOW + 9 * HOUR).settled()):
        await store.write(lambda tx: tx.save_silence(one))  # noqa: B023 - written at once
    await store.write(lambda tx: tx.forget(NOW + 2 * HOUR, NOW + 2 * HOUR, 100))
    assert [one.incident_id for one in await store.read(lambda tx: tx.silences_of([1, 2, 3]))] == [2, 3]
