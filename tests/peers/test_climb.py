"""A climb on what the real Alertmanager says: a pair climbs once, and a group that was taken asks again for more."""

import asyncio
from pathlib import Path

from bridge.demo.telegram import Press
from tests.peers.test_alertmanager import Town, a_town, receipts
from tests.world import JONAS, OPS

_PLAIN = "steps: [{notify: [aigerim, jonas]}]"
_CLIMB = "steps: [{notify: [aigerim], wait: 3s}, {notify: [jonas], wait: 3s}]"
_SLOW = "steps: [{notify: [aigerim], wait: 10m}, {notify: [jonas]}]"


async def _press(town: Town, label: str) -> Press:
    await town.until(lambda: any(label in card.buttons for card in town.telegram.chat(OPS).cards))
    press = town.telegram.press(label, JONAS, OPS)
    await town.until(lambda: press.toast is not None)
    return press


def _paged(town: Town) -> list[str]:
    """Who, in the order in which Mobizon took it."""
    names = {"77010000001": "aigerim", "4915112345678": "jonas"}
    return [names[sms.to] for sms in town.mobizon.sent]


async def test_a_pair_climbs_once_and_the_end_ends_it(tmp_path: Path) -> None:
    async with a_town(tmp_path, (_PLAIN, _CLIMB)) as town, town.alertmanagers(members=2) as pair:
        await pair.fire("DiskFull", instance="db1:9100", severity="critical")
        await town.until(lambda: any("NOBODY HAS IT" in card.text for card in town.telegram.chat(OPS).cards))
        assert _paged(town) == ["aigerim", "jonas"]

        await pair.resolve("DiskFull", instance="db1:9100", severity="critical")
        await town.until(lambda: any("over after" in card.text for card in town.telegram.chat(OPS).cards))
        assert _paged(town) == ["aigerim", "jonas"]


async def test_a_group_that_was_taken_pages_for_no_reminder_and_asks_again_when_more_joins(tmp_path: Path) -> None:
    async with (
        a_town(tmp_path, (_PLAIN, _SLOW)) as town,
        town.alertmanagers(repeat_interval="1s", group_interval="1s") as alertmanager,
    ):
        await alertmanager.fire("DiskFull", instance="db1:9100", severity="critical")
        await town.until(lambda: _paged(town) == ["aigerim"])
        await _press(town, "Acknowledge")
        await town.until(lambda: "Jonas has it" in town.card)
        while "duplicate" not in await receipts(town):  # noqa: ASYNC110 - the Alertmanager keeps its own time
            await asyncio.sleep(0.1)
        assert _paged(town) == ["aigerim"] and "Jonas has it" in town.card

        await alertmanager.fire("DiskFull", instance="db2:9100", severity="critical")
        await town.until(lambda: len(town.mobizon.sent) == 2)
        assert _paged(town) == ["aigerim", "jonas"], "whoever had it is told first"
        assert "db1 db2" in town.mobizon.sent[-1].text
