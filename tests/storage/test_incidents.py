from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.domain.alert import AlertStatus
from bridge.domain.incident import IncidentState as S
from bridge.ports import Duplicate, Store, TimelineEntry
from tests.storage.values import HOUR, MINUTE, NOW, alert, incident


async def test_incidents_and_notifications_share_one_sequence_without_gaps(store: Store) -> None:
    taken = [await store.write(lambda tx: tx.numbers(2)), await store.write(lambda tx: tx.numbers(3))]
    assert taken == [range(1, 3), range(3, 6)]


async def test_an_incident_is_read_back_whole(store: Store) -> None:
    whole = incident(
        1,
        title="DiskFull and 2 more",
        places=("db1", "база"),
        firing=2,
        total=3,
        critical=True,
        policy="night",
        chat="ops",
        last_seen=NOW,
        note="resolve came first",
    )
    await store.write(lambda tx: tx.add_incidents([whole, incident(2)]))
    assert await store.read(lambda tx: tx.incident(1)) == whole
    assert await store.read(lambda tx: tx.incidents_by_id([1, 2, 3])) == {1: whole, 2: incident(2)}
    assert await store.read(lambda tx: tx.incident(3)) is None


async def test_one_key_has_one_open_incident(store: Store) -> None:
    first = incident(1, group_key="g")
    await store.write(lambda tx: tx.add_incidents([first, incident(2, group_key="g", route="rest")]))
    with pytest.raises(Duplicate):
        await store.write(lambda tx: tx.add_incidents([incident(3, group_key="g")]))

    await store.write(lambda tx: tx.save_incidents([first.resolve("source", NOW)]))
    await store.write(lambda tx: tx.add_incidents([incident(3, group_key="g")]))
    open_now = await store.read(lambda tx: tx.open_incidents([("alertmanager", "g"), ("shop", "g")]))
    assert {found.id for found in open_now} == {2, 3}


async def test_open_incidents_are_found_by_source_and_group_together(store: Store) -> None:
    ours = [incident(1, source="a", group_key="x"), incident(2, source="b", group_key="y")]
    await store.write(lambda tx: tx.add_incidents([*ours, incident(3, source="a", group_key="y")]))
    assert await store.read(lambda tx: tx.open_incidents([("a", "x"), ("b", "y")])) == ours
    assert await store.read(lambda tx: tx.open_incidents([])) == []


async def test_incidents_are_listed_newest_first_and_narrowed(store: Store) -> None:
    all_of_them = [
        incident(1, opened_at=NOW - HOUR, chat="ops"),
        incident(2, chat="ops", state=S.ACKNOWLEDGED),
        incident(3, chat="shop"),
        incident(4, state=S.RESOLVED),
    ]
    await store.write(lambda tx: tx.add_incidents(all_of_them))

    async def listed(**asked: object) -> list[int]:
        return [i.id for i in await store.read(lambda tx: tx.incidents(**asked))]  # type: ignore[arg-type]  # a table of calls

    assert await listed() == [3, 2, 1]
    assert await listed(open_only=False) == [4, 3, 2, 1]
    assert await listed(since=NOW) == [3, 2]
    assert await listed(chat="ops") == [2, 1]
    assert await listed(limit=1) == [3]


async def test_open_incidents_are_counted_by_state(store: Store) -> None:
    assert await store.read(lambda tx: tx.incident_counts()) == {S.TRIGGERED: 0, S.ACKNOWLEDGED: 0}
    rows = [incident(n, group_key=f"{n}", state=S.TRIGGERED if n < 4 else S.RESOLVED) for n in range(1, 6)]
    await store.write(lambda tx: tx.add_incidents([*rows, incident(6, state=S.ACKNOWLEDGED)]))
    assert await store.read(lambda tx: tx.incident_counts()) == {S.TRIGGERED: 3, S.ACKNOWLEDGED: 1}


async def test_a_saved_alert_replaces_the_one_of_the_same_incident(store: Store) -> None:
    await store.write(lambda tx: tx.add_incidents([incident(1)]))
    await store.write(lambda tx: tx.save_alerts([alert(1), alert(1, "f2")]))
    over = replace(alert(1), status=AlertStatus.RESOLVED, ended_at=NOW + MINUTE)
    await store.write(lambda tx: tx.save_alerts([over]))
    known = await store.read(lambda tx: tx.alert_records([("alertmanager", "group 1")], NOW + HOUR))
    assert known == [over, alert(1, "f2")]


@pytest.mark.parametrize(
    ("ended", "known"),
    [(timedelta(0), False), (timedelta(microseconds=1), True)],
    ids=["ended at the bound", "ended after it"],
)
async def test_of_closed_incidents_only_what_ended_lately_is_known(store: Store, ended: timedelta, known: bool) -> None:
    gone = replace(alert(1), status=AlertStatus.RESOLVED, ended_at=NOW + ended)
    early = replace(gone, incident_id=0, fingerprint="resolved before it fired")
    await store.write(lambda tx: tx.add_incidents([incident(1, state=S.RESOLVED)]))
    await store.write(lambda tx: tx.save_alerts([gone, early, alert(1, "never ended"), alert(9)]))
    found = await store.read(lambda tx: tx.alert_records([("alertmanager", "group 1")], NOW))
    assert found == ([early, gone] if known else [])


async def test_a_timeline_is_told_in_order(store: Store) -> None:
    later, earlier = TimelineEntry(7, NOW + MINUTE, "resolved"), TimelineEntry(7, NOW, "acknowledged", "aigerim")
    await store.write(lambda tx: tx.add_timeline([later, earlier, TimelineEntry(8, NOW, "opened")]))
    assert await store.read(lambda tx: tx.timeline(7)) == [earlier, later]
