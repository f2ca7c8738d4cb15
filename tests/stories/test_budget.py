"""Limits of a route, of whoever sends, and of a month: who is held, who is not, and what everybody is told."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.world import World, a_world, firing, resolved

LIMITED = "watch: {chat"
ROUTE = ", priority: critical}"
BULK = (
    "  - {name: rest",
    "  - {name: bulk, matchers: ['severity=\"warning\"'], policy: one, chat: ops, limits: {1h: 2}}\n  - {name: rest",
)
ONE = ("policy: critical, chat", "policy: one, chat")


def _limits(written: str) -> tuple[str, str]:
    return LIMITED, f"limits: {written}\n{LIMITED}"


async def _troubles(world: World, *numbers: int, severity: str = "critical") -> None:
    for number in numbers:
        await world.post("alertmanager", firing(f"db{number}", name=f"Trouble{number}", severity=severity))


async def _near(world: World) -> list[str]:
    """The limits that the watch chat is told of, as long as they are nearly used up."""
    troubles = await world.bridge.store.read(lambda tx: tx.open_troubles())
    return [trouble.subject for trouble in troubles if trouble.kind == "limit"]


def _cards(world: World, said: str) -> list[str]:
    return [card.text for card in world.ops.cards if said in card.text]


async def test_a_route_stops_at_its_limit_and_the_others_go_on(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[BULK, ONE, _limits("{total: {1h: 100}}")]) as world:
        await _troubles(world, 1, severity="warning")
        await world.advance(minutes=2)
        await _troubles(world, 2, severity="warning")
        await world.advance(minutes=2)
        await _troubles(world, 3, severity="warning")
        await world.advance(minutes=2)
        assert len(world.phone("aigerim").texts) == 2
        (rung,) = _cards(world, "Call them yourselves: Aigerim")
        assert "no SMS leaves: route bulk has had its share of SMS, 2 in 1 h (its limits); opens at 09:10" in rung
        told = " ".join(card.text for card in world.watch.cards)
        assert "route bulk has had 2 of 2 SMS segments in 1 h (its limits)" in told

        await _troubles(world, 4)  # of another route
        assert len(world.phone("aigerim").texts) == 3
        await _troubles(world, 5, severity="warning")
        await world.advance(minutes=55)
        (late,) = world.phone("aigerim").texts[3:]
        assert "2 incidents: Trouble3 db3 #" in late and "Trouble5 db5 #" in late


async def test_who_sends_has_a_limit_of_their_own(tmp_path: Path) -> None:
    more = (
        "{scripts: {token: api-secret, role: operator}",
        "{scripts: {token: api-secret, role: operator}, night: {token: night-secret, role: operator}",
    )
    async with a_world(tmp_path, changes=[more, _limits("{per_asker: {10m: 2}}")]) as world:
        sms = {"to": "magnum", "text": "Backup is done"}
        for _ in range(2):
            await world.api("POST", "/sms", sms, status=202)
        address, shown = f"http://127.0.0.1:{world.bridge.ports[0]}/api/v1/sms", {"Authorization": "Bearer api-secret"}
        async with aiohttp.request("POST", address, json=sms, headers=shown) as refused:
            said = await refused.json()
            assert (refused.status, refused.headers["Retry-After"]) == (503, "600")
        assert said["detail"] == "the API token scripts has sent all they may, 2 in 10 min (limits.per_asker)"
        await world.api("POST", "/sms", sms, token="night-secret", status=202)

        for _ in range(3):
            await world.types("/sms magnum Come to the office")
        assert "Aigerim has sent all they may, 2 in 10 min (limits.per_asker)" in world.ops.last.text
        assert "It opens again at 08:20" in world.ops.last.text
        assert len(world.phone("magnum").texts) == 5
        await world.advance(minutes=10)
        await world.types("/sms magnum Come to the office")
        assert len(world.phone("magnum").texts) == 6


async def test_a_typed_text_larger_than_a_whole_limit_is_refused_and_its_preview_says_so(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[_limits("{per_asker: {1h: 3, month: 2}, total: {1d: 40}}")]) as world:
        three = {"to": "magnum", "text": "word " * 80}
        why = "the text takes 3 segments; 2 this month may go out (limits.per_asker)"
        for path in ("/sms", "/sms?preview=1"):
            assert (await world.api("POST", path, three, status=400))["detail"] == why
        later = {**three, "send_at": (world.clock.now() + timedelta(minutes=5)).isoformat()}
        assert (await world.api("POST", "/sms", later, status=400))["detail"] == why
        await world.types(f"/sms magnum {three['text']}")
        assert why.removeprefix("the") in world.ops.last.text
        await world.api("POST", "/sms", {"to": "magnum", "text": "word " * 60}, status=202)
        assert len(world.phone("magnum").texts) == 1


async def test_what_was_typed_for_later_waits_for_the_limit_of_who_typed_it(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[_limits("{per_asker: {10m: 1}}")]) as world:
        later = (world.clock.now() + timedelta(minutes=5)).isoformat()
        number = (await world.api("POST", "/sms", {"to": "magnum", "text": "first", "send_at": later}, status=202))[
            "id"
        ]
        await world.advance(minutes=3)
        await world.api("POST", "/sms", {"to": "magnum", "text": "second"}, status=202)
        await world.advance(minutes=4)
        assert world.phone("magnum").texts == ["second"]
        held = await world.api("GET", f"/sms/{number}")
        assert held["reason"].endswith("has sent all they may, 1 in 10 min (limits.per_asker); opens at 08:23")
        await world.advance(minutes=7)
        assert world.phone("magnum").texts == ["second", "first"]


async def test_a_month_opens_on_its_first_and_a_higher_limit_at_once(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[ONE, _limits("{total: {month: 2}}")]) as world:
        await _troubles(world, 1, 2, 3)
        await world.advance(seconds=30)
        (rung,) = _cards(world, "Call them yourselves: Aigerim")
        assert "the house has had its share of SMS, 2 this month (limits.total); opens at 01.12 00:00" in rung
        assert "2 of 2 SMS segments this month are used" in " ".join(card.text for card in world.watch.cards)
        await world.advance(minutes=61)
        assert len(_cards(world, "NOBODY HAS IT · Trouble3")) == 1  # it rings again while it is held
        world.clock.advance(timedelta(days=10, hours=14).total_seconds())  # 30 November, 23:11
        await world.advance(minutes=48)
        assert len(world.phone("aigerim").texts) == 2
        await world.advance(minutes=2)
        assert len(world.phone("aigerim").texts) == 3
        assert [card.text for card in world.watch.cards if "this month are used" in card.text and "over" in card.text]

        await _troubles(world, 4, 5)
        assert len(world.phone("aigerim").texts) == 4
        assert await _near(world) == ["total month"]
        text = world.config_file.read_text()
        world.config_file.write_text(text.replace("{month: 2}", "{month: 9}"))
        assert await world.bridge.reload() == []
        assert not await _near(world)
        await world.advance(seconds=5)
        assert len(world.phone("aigerim").texts) == 5


async def test_near_a_limit_normal_pages_leave_together_and_critical_ones_singly(tmp_path: Path) -> None:
    bulk = (BULK[0], BULK[1].replace(", limits: {1h: 2}", ""))
    limits = _limits("{per_person: {1h: 90}, total: {1h: 20}, soft: 10%}")
    async with a_world(tmp_path, changes=[bulk, ONE, limits]) as world:
        await _troubles(world, 1, 2)
        told = " ".join(card.text for card in world.watch.cards)
        assert (
            "2 of 20 SMS segments in 1 h are used (limits.total); normal pages leave together now, every 15 min" in told
        )
        await _troubles(world, 3, severity="warning")  # the first one at once
        assert len(world.phone("aigerim").texts) == 3
        for number in (4, 5, 6):
            await world.advance(minutes=2)
            await _troubles(world, number, severity="warning")
        assert len(world.phone("aigerim").texts) == 3
        await world.advance(seconds=30)
        (waits, *_) = _cards(world, "so pages to one person leave together")
        assert "most of limits.total is used, 20 in 1 h" in waits and "leaves at 08:25" in waits
        assert not _cards(world, "Call them yourselves")
        await _troubles(world, 7)  # critical
        assert len(world.phone("aigerim").texts) == 4

        await world.advance(minutes=9)
        (together,) = world.phone("aigerim").texts[4:]
        assert together.startswith("LATE 13m. 3 incidents: Trouble4 db4 #")
        await world.advance(hours=1)
        assert not await _near(world)


def _bulk(more: str) -> tuple[str, str]:
    """A route of warnings that eight pages bring to its soft limit."""
    return BULK[0], BULK[1].replace("limits: {1h: 2}", f"limits: {{1d: 10}}, {more}")


ROOMY = _limits("{per_person: {1h: 50}, total: {1h: 100}}")


async def _up_to_the_soft_limit(world: World) -> None:
    """Eight pages, one each minute; the ninth is the first that would wait."""
    for number in range(8):
        await _troubles(world, number, severity="warning")
        await world.advance(minutes=1)
    assert len(world.phone("aigerim").texts) == 8


@pytest.mark.parametrize(("ttl", "paged_at_once"), [("10m", 9), ("14m", 9), ("15m", 8)])
async def test_what_would_be_too_old_when_others_leave_leaves_now(tmp_path: Path, ttl: str, paged_at_once: int) -> None:
    async with a_world(tmp_path, changes=[_bulk(f"ttl: {ttl}"), ONE, ROOMY]) as world:
        await _up_to_the_soft_limit(world)
        await _troubles(world, 8, severity="warning")
        assert len(world.phone("aigerim").texts) == paged_at_once
        await world.advance(minutes=16)
        assert len(world.phone("aigerim").texts) == 9


@pytest.mark.parametrize(("ends", "paged_at_once"), [("03:20", 9), ("04:00", 8)])
async def test_what_would_wait_past_the_hours_of_its_route_leaves_now(
    tmp_path: Path, ends: str, paged_at_once: int
) -> None:
    hours = (
        "routes:\n",
        "time_intervals:\n  - name: office\n    time_intervals:\n"
        f"      - {{times: [{{start_time: '00:00', end_time: '{ends}'}}], location: UTC}}\nroutes:\n",
    )
    async with a_world(tmp_path, changes=[hours, _bulk("active_time_intervals: [office]"), ONE, ROOMY]) as world:
        await _up_to_the_soft_limit(world)  # from 03:10 on
        await _troubles(world, 8, severity="warning")
        assert len(world.phone("aigerim").texts) == paged_at_once
        await world.advance(minutes=16)
        assert len(world.phone("aigerim").texts) == 9


async def test_a_soft_limit_that_is_raised_lets_out_at_once_what_waits_for_it(tmp_path: Path) -> None:
    roomy = _limits("{per_person: {1h: 50}, total: {1h: 100}, soft: 80%}")
    async with a_world(tmp_path, changes=[_bulk("ttl: 1h"), ONE, roomy]) as world:
        await _up_to_the_soft_limit(world)
        await _troubles(world, 8, severity="warning")
        text = world.config_file.read_text()
        for soft, paged in (("79%", 8), ("95%", 9)):
            world.config_file.write_text(text.replace("soft: 80%", f"soft: {soft}"))
            assert await world.bridge.reload() == []
            await world.advance(seconds=30)
            assert len(world.phone("aigerim").texts) == paged
            if paged == 8:
                assert "leaves at 08:32" in _cards(world, "Trouble8")[0]


async def _paged_about(world: World, trouble: str, *people: str) -> dict[str, timedelta]:
    """How long after now each of them has it, to the half minute."""
    began, found = world.clock.now(), dict[str, timedelta]()
    for _ in range(40):
        for person in people:
            if any(trouble in text for text in world.phone(person).texts):
                found.setdefault(person, world.clock.now() - began)
        await world.advance(seconds=30)
    return found


@pytest.mark.parametrize("soft", ["80%", "100%"])
async def test_nobodys_turn_comes_later_for_a_soft_limit(tmp_path: Path, soft: str) -> None:
    two = ("  one:\n", "  two:\n    steps: [{notify: [aigerim], wait: 3m}, {notify: [jonas]}]\n  one:\n")
    bulk = (BULK[0], BULK[1].replace("policy: one", "policy: two").replace("{1h: 2}", "{1d: 10}"))
    roomy = _limits(f"{{per_person: {{1h: 50}}, total: {{1h: 100}}, soft: {soft}}}")
    async with a_world(tmp_path, changes=[two, bulk, roomy]) as world:
        for number in range(8):
            await _troubles(world, number, severity="warning")
            await world.advance(minutes=1)
            await world.post("alertmanager", resolved(f"db{number}", name=f"Trouble{number}", severity="warning"))
        await _troubles(world, 8, severity="warning")
        paged = await _paged_about(world, "Trouble8", "aigerim", "jonas")
        assert paged == {"aigerim": timedelta(0), "jonas": timedelta(minutes=3)}


async def test_what_somebody_pages_by_hand_waits_for_nobody(tmp_path: Path) -> None:
    page = ("ops: {id: -1001234567890, topic: 7}", "ops: {id: -1001234567890, topic: 7, page: one}")
    bulk = (BULK[0], BULK[1].replace("{1h: 2}", "{1h: 10}"))
    async with a_world(tmp_path, changes=[bulk, page, _limits("{total: {1h: 20}, soft: 5%}")]) as world:
        await _troubles(world, 1, 2, severity="warning")
        assert len(world.phone("aigerim").texts) == 1
        await world.types("/page The office is on fire")
        assert len(world.phone("aigerim").texts) == 2


async def test_sums_that_drifted_hold_nobody_but_those_they_are_of(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[BULK, ONE, _limits("{total: {1h: 100}}")]) as world:
        await _troubles(world, 1, severity="warning")
        with closing(sqlite3.connect(tmp_path / "bridge.db")) as database, database:
            drifted = database.execute("UPDATE spending SET segments = segments + 100 WHERE subject = 'bulk'")
            assert drifted.rowcount
        await world.advance(minutes=20)
        await _troubles(world, 2, severity="warning")
        await _troubles(world, 3)
        assert len(world.phone("aigerim").texts) == 2
        await world.advance(seconds=30)
        (rung,) = _cards(world, "Call them yourselves: Aigerim")
        assert "route bulk has had its share of SMS, 2 in 1 h (its limits)" in rung
        await world.advance(hours=2)
        assert len(world.phone("aigerim").texts) == 3
