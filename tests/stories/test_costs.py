"""What SMS cost is learned from Mobizon's list once they have ended, counted once, and shown on cards."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.outbox import Outbox
from bridge.ports import Transaction
from bridge.pricer import Pricer
from tests.stories.broken import ForgetfulBooks
from tests.world import AIGERIM, DANA, JONAS, OPS, WATCH, World, a_world, firing, resolved

TWO_PARTS = "a " * 100


def listings(world: World) -> int:
    """How often Mobizon was asked for its list."""
    return sum(seen.method == "message/list" for seen in world.mobizon.requests)


def by_countries(world: World) -> None:
    """An account that pays less at home."""
    world.mobizon.prices = {"KZ": Decimal("20.5"), "DE": Decimal("48.1234")}


async def sends(world: World, to: str = "jonas", text: str = "hello") -> int:
    told = await world.api("POST", "/sms", {"to": to, "text": text}, status=202)
    return int(told["id"])


async def cost(world: World, number: int) -> tuple[str | None, str | None]:
    told = await world.api("GET", f"/sms/{number}")
    return told["cost"], told["currency"] if told["cost"] else None


async def counted(world: World) -> Decimal:
    """What this life of the bridge says it spent."""
    found = re.search(r'sms_bridge_cost_total{currency="KZT"} ([\d.]+)', await world.metrics())
    return Decimal(found[1]) if found else Decimal(0)


def paid(world: World) -> Decimal:
    return sum((sms.price * sms.segments for sms in world.mobizon.sent), Decimal(0))


async def days_pass(world: World, days: int) -> None:
    """In steps of an hour: nothing in these stories is so quick."""
    for _ in range(24 * days):
        world.clock.advance(3600)
        await world.settle()


async def test_every_sms_costs_what_mobizon_lists(world: World) -> None:
    by_countries(world)
    world.phone("magnum").is_landline()
    home, abroad = await sends(world, "dana", TWO_PARTS), await sends(world, "jonas")
    lost = await sends(world, "magnum")
    await world.advance(seconds=20)
    assert await cost(world, home) == (None, None), "what has not ended yet is not asked about"

    await world.advance(minutes=1)
    assert await cost(world, home) == ("41.00", "KZT")
    assert await cost(world, abroad) == ("48.1234", "KZT")
    assert await cost(world, lost) == ("20.50", "KZT"), "what does not arrive is paid all the same"
    assert await counted(world) == paid(world) == Decimal("109.6234")


async def test_a_hundred_are_asked_about_in_one_call_and_none_in_none(tmp_path: Path) -> None:
    more = "limits: {per_person: {1h: 500}, total: {1h: 500}, typed_share: 100%}\napi:"
    async with a_world(tmp_path, changes=[("api:", more)]) as world:
        for number in range(101):
            await sends(world, "jonas", f"text {number}")
        await world.advance(minutes=2)
        assert await counted(world) == paid(world) == 101 * Decimal("20.5")
        assert listings(world) == 2
        balances = sum(seen.method == "user/getownbalance" for seen in world.mobizon.requests)
        assert balances == 1, "the currency is asked for once"
        await world.advance(hours=1)
        assert listings(world) == 2


async def test_a_card_says_what_was_spent_once_it_is_known(world: World) -> None:
    await world.types("/sms jonas hello")
    await world.advance(minutes=2)
    assert "1 segment, 20.50 KZT" in world.card.text

    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=10)
    await world.post("alertmanager", resolved("db1"))
    await world.advance(minutes=2)
    assert "2 SMS, 41.00 KZT" in world.card.text


PRICED = [("sms: {", "sms: {prices: {KZ: 20.00 KZT, DE: 50 KZT}, ")]


async def test_before_an_sms_leaves_its_price_is_told(tmp_path: Path) -> None:
    """First by the config's word; once the account has paid for one, by what it paid."""
    async with a_world(tmp_path, changes=PRICED) as world:
        by_countries(world)
        await world.types(f"/sms +77010000009 {TWO_PARTS}")
        assert "2 segments, about 40.00 KZT" in world.card.text
        sent = await world.api("POST", "/sms", {"to": "dana", "text": "hello"}, status=202)
        assert (sent["cost"], sent["estimate"], sent["currency"]) == (None, "20.00", "KZT")
        await world.advance(minutes=2)

        await world.types(f"/sms +77010000008 {TWO_PARTS}")
        assert "2 segments, about 41.00 KZT" in world.card.text
        paid_for = await world.api("GET", f"/sms/{sent['id']}")
        assert (paid_for["cost"], paid_for["estimate"], paid_for["currency"]) == ("20.50", None, "KZT")
        abroad = await world.api("GET", f"/sms/{await sends(world)}")
        assert abroad["estimate"] == "50.00"


async def test_what_is_not_priced_yet_is_marked_as_about(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=PRICED) as world:
        world.mobizon.answers(999, method="list")
        await world.types("/sms dana hello")
        await world.advance(seconds=20)
        assert "1 segment, about 20.00 KZT" in world.card.text
        await world.post("alertmanager", firing("db1"))
        await world.advance(seconds=20)
        await world.post("alertmanager", resolved("db1"))
        await world.advance(seconds=20)
        assert "2 SMS, about 70.00 KZT" in world.card.text

        world.mobizon.recovers()
        await world.advance(minutes=6)
        assert "2 SMS, 41.00 KZT" in world.card.text


async def test_a_mobizon_that_cannot_be_asked_holds_up_nothing_and_alarms_nobody(world: World) -> None:
    world.mobizon.answers(999, method="list")
    first = await sends(world)
    await world.advance(hours=2)
    assert (await world.api("GET", f"/sms/{first}"))["state"] == "delivered"
    assert world.watch.cards == []
    assert listings(world) <= 24, "it is asked again after five minutes"

    world.mobizon.recovers()
    second = await sends(world)
    await world.advance(minutes=6)
    assert [await cost(world, number) for number in (first, second)] == [("20.50", "KZT")] * 2


async def test_while_anything_is_on_the_wire_nobody_asks_what_something_cost(world: World) -> None:
    first = await sends(world)
    await world.advance(seconds=20)
    world.mobizon.hangs_after_accepting()
    await world.api("POST", "/sms", {"to": "dana", "text": "hello"}, status=202)
    await world.advance(seconds=19)
    assert listings(world) == 0, "a page may want the line"
    world.mobizon.answers_held()
    world.mobizon.recovers()
    await world.advance(seconds=2)
    assert await cost(world, first) == ("20.50", "KZT")


async def test_what_mobizon_never_lists_is_given_up_after_three_days(world: World) -> None:
    world.mobizon.list_lag = timedelta(days=365)
    number = await sends(world)
    await days_pass(world, 4)
    assert await cost(world, number) == (None, None)
    asked = listings(world)
    assert asked < 60
    await days_pass(world, 3)
    assert listings(world) == asked


async def test_an_sms_without_a_campaign_is_asked_about_by_its_own_id(world: World) -> None:
    number = await sends(world)
    await world.advance(seconds=10)

    def loses_campaign(tx: Transaction) -> None:
        row = tx.notification(number)
        assert row is not None
        tx.save_notification(replace(row, campaign_id=None), row)

    await world.bridge.store.write(loses_campaign)
    await world.advance(minutes=1)
    assert await cost(world, number) == ("20.50", "KZT")


async def test_a_bad_id_among_many_costs_the_others_nothing(world: World) -> None:
    numbers = [await sends(world, "jonas", f"text {number}") for number in range(3)]
    world.mobizon.answers(12, method="list", times=2)  # all three, then the first alone
    await world.advance(minutes=2)
    assert [await cost(world, number) for number in numbers] == [(None, None), *[("20.50", "KZT")] * 2]


async def test_a_list_that_is_always_refused_is_not_asked_about_each(tmp_path: Path) -> None:
    more = "limits: {per_person: {1h: 500}, total: {1h: 500}, typed_share: 100%}\napi:"
    async with a_world(tmp_path, changes=[("api:", more)]) as world:
        world.mobizon.answers(12, method="list")
        numbers = [await sends(world, "jonas", f"text {number}") for number in range(40)]
        await world.advance(minutes=6)
        assert listings(world) <= 2 * 10
        world.mobizon.recovers()
        await world.advance(hours=2)
        assert {await cost(world, number) for number in numbers} == {("20.50", "KZT")}


async def test_a_gift_is_no_countrys_price(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=PRICED) as world:
        world.mobizon.prices = {"KZ": Decimal("0.0000")}
        free = await sends(world, "dana")
        await world.advance(minutes=2)
        assert await cost(world, free) == ("0.00", "KZT")
        told = await world.api("POST", "/sms", {"to": "dana", "text": "hello"}, status=202)
        assert told["estimate"] == "20.00"


async def _keeps_books(world: World, books: type[Outbox]) -> Decimal:
    """What a bridge with these books says it spent, over two lives."""
    said = Decimal(0)
    for life in range(2):
        if life:
            await world.sleeps()
            await world.wakes()
        bridge = world.bridge
        pricer = Pricer(
            bridge.store, books(bridge.store, bridge.clock, bridge.house, bridge.metrics), bridge.gateway, bridge.clock
        )
        bridge.ticks[:] = [pricer if tick.name == pricer.name else tick for tick in bridge.ticks]
        await sends(world, "jonas", f"life {life}")
        await world.advance(minutes=10)
        said += await counted(world)
    return said


async def test_a_restart_counts_nothing_twice(world: World) -> None:
    assert await _keeps_books(world, Outbox) == paid(world) == 2 * Decimal("20.5")


async def test_books_that_forget_what_they_counted_are_noticed(world: World) -> None:
    assert await _keeps_books(world, ForgetfulBooks) > paid(world)


async def test_an_sms_given_up_and_priced_that_arrives_after_all_is_not_paid_twice(world: World) -> None:
    world.phone("jonas").turns_off()
    world.mobizon.moderates = True
    number = await sends(world)
    await days_pass(world, 3)
    assert (await world.api("GET", f"/sms/{number}"))["state"] == "submitted"
    assert await counted(world) == paid(world)
    world.phone("jonas").turns_on()
    world.mobizon.approves(world.mobizon.sent[0].id)
    await world.advance(seconds=10)
    await world.bridge.dispatcher.delivery_hint([world.mobizon.sent[0].id])
    await world.advance(minutes=10)
    assert (await world.api("GET", f"/sms/{number}"))["state"] == "delivered"
    assert await counted(world) == paid(world)


@pytest.mark.parametrize("said", [None, "", "-1.0000", "free"])
async def test_a_price_that_is_none_is_asked_for_again(world: World, said: str | None) -> None:
    """Mobizon lists it, and does not say what it cost yet."""
    number = await sends(world)
    await world.advance(seconds=10)
    sms = world.mobizon.sent[0]
    item = {"id": sms.id, "segUserBuy": said, "segNum": "1", "status": "DELIVRD"}
    world.mobizon.answers(0, {"items": [item], "totalItemCount": "1"}, times=1, method="list")
    await world.advance(minutes=2)
    assert await cost(world, number) == (None, None)
    await world.advance(minutes=5)
    assert await cost(world, number) == ("20.50", "KZT")


async def days_at_a_pace(world: World, days: int, sms: int) -> None:
    """So many SMS a day, and a caretaker that looks now and then."""
    for _ in range(days):
        for number in range(sms):
            await sends(world, ("dana", "magnum")[number % 2], f"text {number}")
        await world.advance(minutes=3)
        await world.looks_after_itself()
        world.clock.advance(24 * 3600 - 180)
        await world.settle()
    await world.looks_after_itself()
    await world.advance(seconds=10)


async def test_money_for_few_days_is_told_and_over_when_it_is_topped_up(world: World) -> None:
    world.mobizon.balance = Decimal(1000)
    await days_at_a_pace(world, 8, sms=4)  # 82 a day: after 8 days 344 are left, which last 4 days
    assert world.watch.cards == []
    await days_at_a_pace(world, 2, sms=4)
    await world.advance(seconds=10)
    text = "Mobizon has 180.00 KZT left, 2 days at this week's pace: top it up"
    assert [text in card.text for card in world.watch.cards] == [True]
    assert not world.watch.last.silent

    world.mobizon.balance += 500
    await world.advance(minutes=11)
    await world.looks_after_itself()
    await world.advance(seconds=10)
    assert len(world.watch.cards) == 1 and "over" in world.watch.last.text


async def test_the_first_day_of_a_bridge_tells_no_pace_and_a_pace_that_wavers_rings_once(world: World) -> None:
    for number in range(4):
        await sends(world, ("dana", "magnum")[number % 2], f"text {number}")
    await world.advance(minutes=3)
    for hours, left in ((1, 90), (23, 170), (1, 250), (1, 330), (1, 170)):  # 82 a day: 1, 2, 3 and 4 days
        world.clock.advance(hours * 3600)
        world.mobizon.balance = Decimal(left)
        await world.looks_after_itself()
        await world.advance(seconds=10)
        assert left != 90 or world.watch.cards == []
    texts = [card.text for card in world.watch.cards]
    assert len(texts) == 2
    assert "over after" in texts[0] and "170.00 KZT left, 2 days" in texts[1]


async def test_the_balance_alarm_says_how_long_it_lasts(tmp_path: Path) -> None:
    watch = [("notify: [aigerim]}\napi", "notify: [aigerim], balance_below: 3000, days_below: 0}\napi")]
    async with a_world(tmp_path, changes=watch) as world:
        world.mobizon.balance = Decimal(2100)
        await days_at_a_pace(world, 1, sms=1)
        assert "2 079.50 KZT left, less than 3000, 101 days at this week's pace" in world.watch.last.text
        world.mobizon.balance = Decimal(10)
        await world.advance(minutes=11)
        await world.looks_after_itself()
        await world.advance(seconds=10)
        assert "less than 3000, less than a day at this week's pace" in world.watch.last.text
        assert len(world.watch.cards) == 1, "a trouble is one message, put right"


async def test_nothing_is_said_of_days_while_nothing_is_known(world: World) -> None:
    world.mobizon.balance = Decimal(1)
    await world.looks_after_itself()
    assert world.watch.cards == []
    assert 'sms_bridge_balance{currency="KZT"} 1.0' in await world.metrics()
    await world.types("/balance")
    assert world.card.text == "1.00 KZT"


async def test_balance_says_how_far_the_money_reaches(world: World) -> None:
    by_countries(world)
    await days_at_a_pace(world, 2, sms=4)  # 164 of 10000 in two days
    asked = listings(world)
    await world.types("/balance")
    assert world.card.text == "9 836.00 KZT, about 479 SMS, 119 days at this month's pace"
    assert listings(world) == asked, "prices are known by now"


async def test_before_anything_was_sent_the_config_says_how_many_sms_the_money_buys(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=PRICED) as world:
        await world.types("/balance")
        assert world.card.text == "10 000.00 KZT, about 500 SMS"


async def test_a_group_sees_what_was_spent_there_and_operators_all_of_it(world: World) -> None:
    by_countries(world)
    await world.types("/sms jonas hello")
    await world.post("alertmanager", firing("db1"))  # two SMS, 68.6234, on ops
    await sends(world, "magnum")  # by a script, of no chat
    await world.types("/sms dana hello", by=JONAS, chat=WATCH)
    await world.advance(minutes=2)

    async def asks(by: int, chat: int = OPS) -> str:
        await world.types("/costs day", by=by, chat=chat)
        return world.telegram.chat(chat).last.text

    assert (await asks(DANA)).splitlines() == [
        "Today: 116.7468 KZT, 3 SMS, 3 segments",
        "Dearest: #2 HostOutOfDiskSpace 68.6234 KZT",
    ]
    assert (await asks(DANA, WATCH)) == "Today: 20.50 KZT, 1 SMS, 1 segment"
    assert (await asks(AIGERIM, AIGERIM)).startswith("Today: 157.7468 KZT, 5 SMS")
    assert (await asks(JONAS, JONAS)) == "Today: 20.50 KZT, 1 SMS, 1 segment"
    assert (await asks(DANA, DANA)) == "Today: no SMS."


async def test_an_alerts_name_cannot_turn_round_what_stands_after_it(world: World) -> None:
    marks = "\u202e\u202d\u202a\u202b\u202c\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
    await world.post("alertmanager", firing("db1", name=f"Disk{marks}Full", severity=f"critical{marks}"))
    await world.advance(minutes=2)
    assert "#1 DiskFull db1" in world.card.text and not set(marks) & set(world.card.text)
    await world.types("/costs day")
    assert world.ops.last.text.splitlines()[-1] == "Dearest: #1 DiskFull 41.00 KZT"


async def test_costs_of_no_such_time_are_explained_and_a_week_is_usual(world: World) -> None:
    await world.types("/costs fortnight")
    assert world.card.text == "Of when? Try /costs day, /costs week or /costs month"
    await world.types("/costs")
    assert world.card.text == "The last 7 days: no SMS."
