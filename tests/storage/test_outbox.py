import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.domain.costs import Amount
from bridge.domain.notification import WATCH, Event, Held, Notification, Priority, Purpose, State
from bridge.domain.phone import PhoneNumber
from bridge.domain.throttle import Scope, Spent
from bridge.ports import Duplicate, Store, Timer, Transaction
from tests.storage.values import HOUR, MINUTE, NOW, NUMBER, SECOND, card, claimed, incident, page, submitted, typed

OTHER = PhoneNumber("+77010000002")


async def keep(store: Store, *rows: Notification) -> None:
    """Put rows into the outbox as they are, with the incidents they belong to."""
    ids = {row.incident_id for row in rows if row.incident_id}

    def some(tx: Transaction) -> None:
        known = tx.incidents_by_id(ids)
        tx.add_incidents([incident(number) for number in sorted(ids - known.keys())])
        tx.add_notifications(rows)

    await store.write(some)


async def numbers_of(store: Store, limit: int = 50) -> list[int]:
    return [row.id for row in await store.read(lambda tx: tx.claimable(NOW, limit))]


async def test_a_notification_is_read_back_whole(store: Store) -> None:
    samples: dict[str, Any] = {
        "state": State.SUBMITTED,
        "priority": Priority.TYPED,
        "number": NUMBER,
        "purpose": Purpose.OVER,
        "held": Held.GATHER,
    }
    kinds = get_type_hints(Notification)
    for place, name in enumerate(kinds.keys() - samples.keys(), start=1):
        sample_of = {bool: True, int: place, datetime: NOW + place * SECOND, timedelta: place * SECOND, str: name}
        samples[name] = next(
            sample for kind, sample in sample_of.items() if kind in (kinds[name], *get_args(kinds[name]))
        )
    whole = Notification(**samples)
    await keep(store, whole, typed(999))
    assert await store.read(lambda tx: tx.notification(whole.id)) == whole
    assert await store.read(lambda tx: tx.notifications_by_id([whole.id, 999, 998])) == {
        whole.id: whole,
        999: typed(999),
    }
    assert await store.read(lambda tx: tx.notification(998)) is None


async def test_one_cause_makes_one_notification(store: Store) -> None:
    first = typed(1, cause="telegram:7:42")
    await keep(store, first, typed(2), typed(3))
    with pytest.raises(Duplicate):
        await store.write(lambda tx: tx.add_notifications([typed(4), typed(5, cause="telegram:7:42")]))
    assert await store.read(lambda tx: tx.notification_by_cause("telegram:7:42")) == first
    assert await store.read(lambda tx: tx.notification_by_cause("telegram:7:43")) is None
    assert await store.read(lambda tx: tx.notification(4)) is None, "a duplicate leaves nothing behind"


async def test_a_gateway_s_message_is_adopted_once(store: Store) -> None:
    one, two = claimed(typed(1)), claimed(typed(2))
    await keep(store, one, two)
    await store.write(lambda tx: tx.save_notification(submitted(one, "m1"), one))
    with pytest.raises(Duplicate):
        await store.write(lambda tx: tx.save_notification(submitted(two, "m1"), two))
    assert await store.read(lambda tx: tx.by_message_id(["m1", "m2"])) == {"m1": submitted(one, "m1")}


async def test_a_plan_is_read_in_its_order(store: Store) -> None:
    await keep(store, page(9, 1, round=1, step=2), page(7, 1, round=2), page(8, 1), page(6, 2), typed(5))
    assert [row.id for row in await store.read(lambda tx: tx.notifications_of([1]))] == [8, 9, 7]


# --- claiming ------------------------------------------------------------------------------------------


async def test_what_is_due_comes_by_priority_then_due_time_then_number(store: Store) -> None:
    await keep(
        store,
        typed(1, priority=Priority.TYPED, due_at=NOW - HOUR),
        typed(2, priority=Priority.NORMAL),
        typed(3, priority=Priority.CRITICAL),
        typed(4, priority=Priority.CRITICAL, due_at=NOW - MINUTE),
        typed(5, priority=Priority.NORMAL),
        typed(6, priority=Priority.CRITICAL, due_at=NOW + timedelta(microseconds=1)),
        claimed(typed(7, priority=Priority.CRITICAL)),
    )
    assert await numbers_of(store) == [4, 3, 2, 5, 1]
    assert await numbers_of(store, limit=2) == [4, 3]


@pytest.mark.parametrize(
    ("earlier", "claimable"),
    [
        (page(1, 1, due_at=NOW + HOUR), []),
        (claimed(page(1, 1)), []),
        (submitted(claimed(page(1, 1)), "m"), [2]),
        (claimed(page(1, 1)).becomes(Event.LOST), [2]),
        (page(1, 1).becomes(Event.CANCELLED), [2]),
        (page(1, 1, step=2, due_at=NOW + HOUR), [2]),
        (page(1, 1, round=2, due_at=NOW + HOUR), [2]),
        (page(1, 3, due_at=NOW + HOUR), [2]),
    ],
    ids=["planned", "sending", "submitted", "uncertain", "cancelled", "same step", "other round", "other incident"],
)
async def test_a_step_waits_until_the_earlier_one_has_left(
    store: Store, earlier: Notification, claimable: list[int]
) -> None:
    await keep(store, earlier, page(2, 1, step=2))
    assert await numbers_of(store) == claimable


async def test_typed_texts_never_wait_for_each_other(store: Store) -> None:
    await keep(store, typed(1, due_at=NOW + HOUR), typed(2, step=2))
    assert await numbers_of(store) == [2]


@pytest.mark.parametrize(
    "moved",
    [
        lambda row: row.becomes(Event.CANCELLED),
        claimed,
        lambda row: claimed(row).becomes(Event.UNREACHABLE),  # planned again, but one attempt later
    ],
    ids=["another state", "claimed by another", "another attempt"],
)
async def test_a_row_that_somebody_moved_is_left_to_them(store: Store, moved: Any) -> None:
    await keep(store, typed(1), typed(2))
    theirs = moved(typed(1))
    assert await store.write(lambda tx: tx.save_notification(theirs, typed(1)))
    assert not await store.write(lambda tx: tx.save_notification(claimed(typed(1), NOW + MINUTE), typed(1)))
    pairs = [(claimed(typed(n), NOW + MINUTE), typed(n)) for n in (1, 2, 3)]
    assert await store.write(lambda tx: tx.save_notifications(pairs)) == [False, True, False]
    assert await store.read(lambda tx: tx.notification(1)) == theirs
    assert await store.read(lambda tx: tx.notification(2)) == pairs[1][0]


async def test_a_row_may_move_twice_in_one_call(store: Store) -> None:
    await keep(store, typed(1))
    once, twice = claimed(typed(1)), submitted(claimed(typed(1)), "m1")
    assert await store.write(lambda tx: tx.save_notifications([(once, typed(1)), (twice, once)])) == [True, True]
    assert await store.read(lambda tx: tx.notification(1)) == twice
    assert await store.write(lambda tx: tx.save_notifications([])) == []


async def test_an_incident_that_is_over_owes_nobody_anything_further(store: Store) -> None:
    await keep(store, claimed(page(1, 1)), page(2, 1), page(3, 1, step=2, due_at=NOW + HOUR), page(4, 2))
    assert await store.write(lambda tx: tx.cancel_planned([1, 3], "resolved", NOW)) == 2
    rows = await store.read(lambda tx: tx.notifications_by_id([1, 2, 3, 4]))
    assert [rows[n].state for n in (1, 2, 3, 4)] == [State.SENDING, State.CANCELLED, State.CANCELLED, State.PLANNED]
    assert (rows[3].reason, rows[3].ended_at) == ("resolved", NOW)


async def test_an_expired_lease_is_found_and_a_living_one_is_not(store: Store) -> None:
    old, new = claimed(typed(1), NOW - MINUTE), claimed(typed(2), NOW)
    await keep(store, old, new, typed(3))
    assert await store.read(lambda tx: tx.leases_over(NOW)) == [old]
    assert await store.read(lambda tx: tx.sending()) == [old, new]


# --- tracking ------------------------------------------------------------------------------------------


async def test_the_longest_overdue_question_is_asked_first(store: Store) -> None:
    rows = [replace(submitted(claimed(typed(n)), f"m{n}"), next_poll_at=NOW - n * SECOND) for n in (1, 3, 2)]
    never = replace(submitted(claimed(typed(4)), "m4"), next_poll_at=None)
    await keep(store, *rows, never, replace(rows[0], id=5, message_id="m5", next_poll_at=NOW + SECOND))
    assert [row.id for row in await store.read(lambda tx: tx.polls_due(NOW, 2))] == [3, 2]
    assert [row.id for row in await store.read(lambda tx: tx.polls_due(NOW, 9))] == [3, 2, 1]


async def test_a_hint_makes_us_ask_now_and_moves_nothing_that_has_ended(store: Store) -> None:
    waiting = replace(submitted(claimed(typed(1)), "m1"), next_poll_at=NOW + HOUR)
    done = submitted(claimed(typed(2)), "m2").becomes(Event.DELIVERED, next_poll_at=None)
    await keep(store, waiting, done)
    assert await store.write(lambda tx: tx.poll_now(["m1", "m2", "unknown"], NOW)) == 2
    assert [row.id for row in await store.read(lambda tx: tx.polls_due(NOW, 9))] == [1]
    assert await store.read(lambda tx: tx.notification(2)) == done


# --- limits and lists ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        (typed(1), False),
        (claimed(typed(1)), True),
        (claimed(typed(1)).becomes(Event.LOST), True),
        (claimed(typed(1)).becomes(Event.LOST).becomes(Event.LEFT), True),
        (claimed(typed(1)).becomes(Event.LOST).becomes(Event.CANCELLED), True),
        (claimed(typed(1)).becomes(Event.UNREACHABLE, claimed_at=None), False),
        (claimed(typed(1)).becomes(Event.REFUSED, claimed_at=None), False),
        (claimed(typed(1)).becomes(Event.CANCELLED, claimed_at=None), False),
        (submitted(claimed(typed(1)), "m"), True),
        (submitted(claimed(typed(1)), "m").becomes(Event.DELIVERED), True),
        (submitted(claimed(typed(1)), "m").becomes(Event.UNDELIVERED), True),
        (claimed(typed(1), NOW - timedelta(microseconds=1)), False),
    ],
    ids=lambda value: f"{value.state}" if isinstance(value, Notification) else "",
)
async def test_what_may_have_left_counts_against_the_limits(store: Store, row: Notification, counts: bool) -> None:
    await keep(store, row)
    spent = await store.read(lambda tx: tx.spent(NOW))
    assert spent == ([Spent(NUMBER.e164, NOW, 1)] if counts else [])
    for scope, subject in ((Scope.HOUSE, ""), (Scope.ASKER, row.asked_by or ""), (Scope.PHONE, NUMBER.e164)):
        reserved = await store.read(lambda tx, scope=scope, subject=subject: tx.reserved(scope, subject, NOW))  # type: ignore[misc]  # a loop's own
        assert reserved == int(counts), scope


async def test_what_is_reserved_is_added_up_by_whom_it_is_for_about_and_from(store: Store) -> None:
    await keep(store, *(claimed(typed(number), at) for number, at in enumerate((NOW - SECOND, NOW, NOW), start=1)))
    await keep(store, replace(claimed(typed(4, asked_by="api:scripts")), number=OTHER, segments=3))
    await keep(store, replace(claimed(page(5, 6)), segments=4))
    await keep(store, replace(claimed(typed(7)), priority=Priority.CRITICAL, asked_by=WATCH))
    route = incident(6).route

    def reserved(tx: Transaction) -> list[int]:
        named = [(Scope.PHONE, NUMBER.e164), (Scope.PHONE, OTHER.e164), (Scope.ASKER, typed(1).asked_by or "")]
        named += [(Scope.ASKER, "api:scripts"), (Scope.ASKER, WATCH), (Scope.ROUTE, route), (Scope.HOUSE, "")]
        return [tx.reserved(scope, subject, NOW) for scope, subject in named]

    assert await store.read(reserved) == [2 + 4 + 1, 3, 2, 3, 0, 4, 2 + 3 + 4 + 1]


async def test_a_forgotten_number_goes_on_counting_for_the_house(store: Store) -> None:
    done = replace(submitted(claimed(typed(1)), "m").becomes(Event.DELIVERED), ended_at=NOW)
    await keep(store, done)
    await store.write(lambda tx: tx.forget(NOW + HOUR, NOW + HOUR, 10))
    kept = await store.read(lambda tx: tx.notification(1))
    assert kept is not None and kept.number is None
    assert await store.read(lambda tx: tx.reserved(Scope.HOUSE, "", NOW)) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(-7200, 7200), st.integers(1, 6), st.booleans()), max_size=30),
    st.integers(-7200, 7200),
)
async def test_sums_agree_with_the_rows_they_are_made_of(
    store: Store, sent: list[tuple[int, int, bool]], since: int
) -> None:
    """However long ago it was, whatever was released, corrected by a report, or moved along with the clock."""
    (first, *_) = await store.write(lambda tx: tx.numbers(len(sent) + 1))
    asker = f"asker {first}"
    rows = [
        replace(claimed(typed(first + n, asked_by=asker), NOW + seconds * SECOND), segments=segments)
        for n, (seconds, segments, _) in enumerate(sent)
    ]
    await keep(store, *(replace(row, claimed_at=None, state=State.PLANNED) for row in rows))
    await store.write(lambda tx: tx.save_notifications([(row, replace(row, state=State.PLANNED)) for row in rows]))
    left = [
        replace(row, segments=(row.segments or 0) + 1) for row, (_, _, stays) in zip(rows, sent, strict=True) if stays
    ]
    await store.write(lambda tx: tx.save_notifications([(row, row) for row in left]))
    gone = [row for row, (_, _, stays) in zip(rows, sent, strict=True) if not stays]
    await store.write(lambda tx: tx.save_notifications([(replace(row, claimed_at=None), row) for row in gone]))

    def agrees(tx: Transaction) -> None:
        found = [tx.notification(row.id) for row in left]
        after = sorted((row.claimed_at, row.segments) for row in found if row and row.claimed_at and row.segments)
        inside = [(at, segments) for at, segments in after if at >= begins]
        assert tx.reserved(Scope.ASKER, asker, begins) == sum(segments for _, segments in inside)
        sums = list(accumulate(segments for _, segments in inside))
        for (at, _), before, summed in zip(inside, [0, *sums], sums, strict=False):
            assert [tx.reached(Scope.ASKER, asker, begins, n) for n in (before + 1, summed)] == [at, at]

    begins = NOW + since * SECOND
    await store.read(agrees)
    await store.write(lambda tx: tx.move_waits(timedelta(minutes=40), claimed_after=NOW - 9 * HOUR))
    await store.read(agrees)


async def test_a_number_is_known_to_a_chat_once_a_typed_text_has_gone_there(store: Store) -> None:
    await keep(
        store,
        submitted(claimed(typed(1, chat="ops")), "m1"),
        submitted(claimed(typed(2, chat=None)), "m2").becomes(Event.DELIVERED),
        typed(3, chat="shop"),
        replace(submitted(claimed(page(4, 1)), "m4"), chat="night"),
    )
    for chat, known in {"ops": True, None: True, "shop": False, "night": False}.items():
        assert await store.read(lambda tx, chat=chat: tx.was_sent_to(NUMBER.e164, chat)) is known  # type: ignore[misc]  # a loop's own
    assert not await store.read(lambda tx: tx.was_sent_to(OTHER.e164, "ops"))


async def test_the_outbox_is_counted_without_its_ends(store: Store) -> None:
    await keep(store, typed(1), typed(2), claimed(typed(3)), typed(4).becomes(Event.CANCELLED))
    assert await store.read(lambda tx: tx.outbox_counts()) == {
        State.PLANNED: 2,
        State.SENDING: 1,
        State.UNCERTAIN: 0,
        State.SUBMITTED: 0,
    }


async def test_the_oldest_due_row_is_one_that_is_due(store: Store) -> None:
    await keep(store, typed(1, due_at=NOW + SECOND), claimed(typed(2, due_at=NOW - HOUR)))
    assert await store.read(lambda tx: tx.oldest_due(NOW)) is None
    await keep(store, typed(3, due_at=NOW - SECOND), typed(4))
    assert await store.read(lambda tx: tx.oldest_due(NOW)) == NOW - SECOND


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"limit": 2}, [5, 4]),
        ({"before": 4, "limit": 2}, [3, 2]),
        ({"state": State.CANCELLED}, [4]),
        ({"target": "jonas"}, [5, 3]),
        ({"number": OTHER.e164}, [2]),
        ({"chat": "shop"}, [2, 1]),
        ({"chat": "shop", "asked_by": "dana"}, [1]),
        ({"asked_by": "aigerim", "number": NUMBER.e164}, [4]),
    ],
)
async def test_notifications_are_found_newest_first(store: Store, asked: dict[str, Any], found: list[int]) -> None:
    await keep(
        store,
        typed(1, chat="shop", asked_by="dana"),
        typed(2, chat="shop", number=OTHER),
        page(3, 1),
        typed(4).becomes(Event.CANCELLED),
        page(5, 1, target="rota primary", person="jonas"),
    )
    assert [row.id for row in await store.read(lambda tx: tx.find_notifications(**asked))] == found


# --- due times -----------------------------------------------------------------------------------------


async def test_an_empty_store_has_nothing_due(store: Store) -> None:
    assert await store.read(lambda tx: tx.next_due()) == {}


async def test_the_next_due_time_of_every_tick_is_told(store: Store) -> None:
    lease = claimed(typed(1), NOW - HOUR)
    await keep(store, typed(2, due_at=NOW + HOUR), lease, submitted(claimed(typed(3)), "m3"))

    def others(tx: Transaction) -> None:
        tx.add_card(card(1, retry_at=NOW + MINUTE))
        tx.add_card(card(2, changed_at=NOW + 2 * MINUTE))
        tx.set_timer(Timer("ack_for", "1", NOW + 3 * MINUTE))

    await store.write(others)
    expected = {
        "sender": NOW - HOUR + MINUTE,
        "tracker": NOW + 2 * SECOND,
        "reporter": NOW + MINUTE,
        "timers": NOW + 3 * MINUTE,
    }
    assert await store.read(lambda tx: tx.next_due()) == expected
    await store.write(lambda tx: tx.save_notification(submitted(lease, "m1"), lease))
    assert (await store.read(lambda tx: tx.next_due()))["sender"] == NOW + HOUR


async def test_prices_are_asked_for_when_they_are_due_and_put_off_together(store: Store) -> None:
    ended = replace(submitted(claimed(typed(1)), "m1"), state=State.DELIVERED, ended_at=NOW)
    due = [replace(ended, id=n, message_id=f"m{n}", next_price_at=NOW + n * MINUTE) for n in (3, 2, 4)]
    await keep(store, ended, *due)
    assert (await store.read(lambda tx: tx.next_due()))["pricer"] == NOW + 2 * MINUTE

    async def asked(limit: int) -> list[int]:
        return [row.id for row in await store.read(lambda tx: tx.prices_due(NOW + 3 * MINUTE, limit))]

    assert (await asked(9), await asked(1)) == ([2, 3], [2])
    await store.write(lambda tx: tx.put_off_prices(NOW + 200 * SECOND))
    assert await asked(9) == []
    assert await store.read(lambda tx: tx.notification(1)) == ended
    assert await store.read(lambda tx: tx.notification(4)) == due[2]


async def test_of_a_country_the_last_price_is_kept(store: Store) -> None:
    def learn(tx: Transaction) -> None:
        tx.save_price("KZ", Amount(Decimal("19"), "KZT"), NOW)
        tx.save_price("DE", Amount(Decimal("48.1234"), "KZT"), NOW)
        tx.save_price("KZ", Amount(Decimal("20.5"), "KZT"), NOW + HOUR)
        tx.save_price("KZ", Amount(Decimal("18"), "KZT"), NOW - HOUR)  # an older one, asked about only now

    await store.write(learn)
    assert await store.read(lambda tx: tx.prices()) == {
        "KZ": Amount(Decimal("20.5"), "KZT"),
        "DE": Amount(Decimal("48.1234"), "KZT"),
    }


async def test_a_timer_has_one_due_time(store: Store) -> None:
    def some(tx: Transaction) -> None:
        tx.set_timer(Timer("ack_for", "1", NOW + HOUR))
        tx.set_timer(Timer("ack_for", "1", NOW))
        tx.set_timer(Timer("ack_for", "2", NOW - SECOND))
        tx.set_timer(Timer("ring", "1", NOW + SECOND))

    await store.write(some)
    due = [Timer("ack_for", "2", NOW - SECOND), Timer("ack_for", "1", NOW)]
    assert await store.read(lambda tx: tx.timers_due(NOW, 9)) == due
    assert await store.read(lambda tx: tx.timers_due(NOW, 1)) == due[:1]
    await store.write(lambda tx: tx.drop_timer("ack_for", "2"))
    await store.write(lambda tx: tx.drop_timer("ack_for", "3"))
    assert await store.read(lambda tx: tx.timers_due(NOW, 9)) == due[1:]


async def test_a_timer_set_anew_is_not_dropped_for_the_time_it_had_before(store: Store) -> None:
    anew = Timer("ring", "1", NOW + HOUR)
    await store.write(lambda tx: tx.set_timer(anew))
    assert not await store.write(lambda tx: tx.drop_timer("ring", "1", NOW))
    assert await store.read(lambda tx: tx.timers_due(NOW + HOUR, 9)) == [anew]
    assert await store.write(lambda tx: tx.drop_timer("ring", "1", NOW + HOUR))
    assert await store.read(lambda tx: tx.timers_due(NOW + HOUR, 9)) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(at=st.datetimes(timezones=st.timezones()))
async def test_every_instant_is_read_back_exactly(store: Store, at: datetime) -> None:
    await store.write(lambda tx: tx.set_timer(Timer("t", "1", at)))
    await store.write(lambda tx: tx.set_timer(Timer("t", "2", at)))
    (one, two) = await store.read(lambda tx: tx.timers_due(at, 2))
    assert one.due_at == two.due_at == at.astimezone(UTC)
    assert one.due_at.utcoffset() == timedelta(0)


async def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="naive"):
        await store.write(lambda tx: tx.set_timer(Timer("t", "1", NOW.replace(tzinfo=None))))


async def test_a_clock_that_was_set_moves_what_waits_by_our_own_choice(store: Store) -> None:
    named = typed(1, due_at=NOW + HOUR, expires_at=NOW + 25 * HOUR)
    retried = replace(named, id=2, attempt=1, failures=1)
    limited = replace(named, id=3, reason="a limit is reached")
    step = page(4, 40, due_at=NOW + HOUR, gateway_defer=NOW)
    lost = replace(
        claimed(typed(5)), state=State.UNCERTAIN, lost_at=NOW, next_look_at=NOW + SECOND, asked_at=NOW, lease_until=None
    )
    ended = replace(submitted(claimed(typed(6)), "m6"), state=State.DELIVERED, claimed_at=NOW - 2 * HOUR, ended_at=NOW)
    lately = replace(submitted(claimed(typed(7)), "m7"), state=State.DELIVERED, claimed_at=NOW, ended_at=NOW + MINUTE)
    rows = [named, retried, limited, step, claimed(typed(8)), lost, submitted(claimed(typed(9)), "m9"), ended, lately]
    to_price = replace(ended, id=10, message_id="m10", next_price_at=NOW + MINUTE)
    rows.append(to_price)
    await keep(store, *rows)
    await store.write(lambda tx: tx.set_timer(Timer("question", "1", NOW)))
    await store.write(lambda tx: tx.move_waits(-HOUR, claimed_after=NOW - HOUR))

    async def moved(row: Notification) -> set[timedelta]:
        now = await store.read(lambda tx: tx.notification(row.id))
        assert now is not None
        instants = [name for name, kind in get_type_hints(Notification).items() if datetime in (kind, *get_args(kind))]
        spans = {name: getattr(now, name) - at for name in instants if (at := getattr(row, name)) is not None}
        assert spans.pop("gateway_defer", timedelta(0)) == timedelta(0)
        return set(spans.values())

    stays = {row.id for row in rows if await moved(row) == {timedelta(0)}}
    goes = {row.id for row in rows if await moved(row) == {-HOUR}}
    assert (stays, goes) == ({1, 6}, {2, 3, 4, 5, 7, 8, 9})
    assert await moved(to_price) == {timedelta(0), -HOUR}, "its end stays, our question to come moves"
    assert await store.read(lambda tx: tx.timers_due(NOW - HOUR, 9)) == [Timer("question", "1", NOW - HOUR)]


async def test_a_change_writes_only_what_it_changed(store: Store) -> None:
    """Each index on a column that stays is left alone, and so is what another verb wrote there meanwhile."""
    row = submitted(claimed(typed(1)), "m1")
    await store.write(lambda tx: tx.add_notifications([row]))
    await store.write(lambda tx: tx.poll_now(["m1"], NOW + MINUTE))

    written: list[str] = []

    def told(tx: Transaction) -> list[bool]:
        connection: sqlite3.Connection = tx.connection  # type: ignore[attr-defined]  # only the SQL transaction has one
        connection.set_trace_callback(written.append)
        kept = tx.save_notifications([(replace(row, gateway_status="PDLIVRD"), row), (row, replace(row, attempt=7))])
        connection.set_trace_callback(None)
        return kept

    assert await store.write(told) == [True, False]
    (update,) = [statement for statement in written if statement.startswith("UPDATE")]
    assert update.partition(" WHERE ")[0] == "UPDATE notification SET gateway_status='PDLIVRD'"
    assert await store.read(lambda tx: tx.notification(1)) == replace(
        row, gateway_status="PDLIVRD", next_poll_at=NOW + MINUTE
    )


async def test_a_row_that_is_moved_twice_ends_where_the_second_move_left_it(store: Store) -> None:
    """Whatever columns either changes, and whatever moves of other rows stand between."""
    one, other = typed(1), typed(2)
    await store.write(lambda tx: tx.add_notifications([one, other]))
    once = claimed(one, NOW + MINUTE)
    twice = submitted(once, "m1")
    back = replace(twice, reason="seen again")
    moves = [(once, one), (twice, once), (claimed(other, NOW + MINUTE), other), (back, twice)]
    assert await store.write(lambda tx: tx.save_notifications(moves)) == [True] * 4
    assert await store.read(lambda tx: tx.notification(1)) == back
