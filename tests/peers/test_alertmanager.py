"""The real Alertmanager in front of the real bridge: it fires, groups and resolves, and one SMS a person leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.app import Bridge, beating, build
from bridge.clock import SystemClock
from bridge.config import load_config
from bridge.demo.mobizon import SimulatedMobizon
from bridge.demo.telegram import SimulatedTelegram
from bridge.ports import ReceiptState
from tests.peers.alertmanager import PATIENCE, Alertmanagers, Webhook, alertmanagers
from tests.world import CONFIG, OPS


class Town:
    """A bridge that beats, and whoever it talks to."""

    def __init__(self, bridge: Bridge, mobizon: SimulatedMobizon, telegram: SimulatedTelegram, folder: Path) -> None:
        self.bridge = bridge
        self.mobizon = mobizon
        self.telegram = telegram
        self.folder = folder
        self.news = asyncio.Condition()
        self.source = "alertmanager"

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something to become true; other programs are at work, so only looking tells."""
        async with asyncio.timeout(PATIENCE), self.news:
            await self.news.wait_for(true)

    @property
    def webhook(self) -> str:
        return f"http://127.0.0.1:{self.bridge.ports[0]}/webhooks/{self.source}"

    @property
    def card(self) -> str:
        cards = self.telegram.chat(OPS).cards
        return cards[-1].text if cards else ""

    @asynccontextmanager
    async def alertmanagers(self, members: int = 1, **pace: str) -> AsyncIterator[Alertmanagers]:
        token = self.folder / "token"
        token.write_text("am-secret\n", encoding="utf-8")
        webhook = Webhook(self.webhook, token, **pace)
        async with alertmanagers(self.folder, webhook, members=members, peer_timeout="500ms") as running:
            yield running


@asynccontextmanager
async def a_town(folder: Path, *changes: tuple[str, str]) -> AsyncIterator[Town]:
    """`changes` are replacements in the config's text."""
    clock = SystemClock()
    telegram = SimulatedTelegram(clock=clock)
    await telegram.start()
    try:
        async with SimulatedMobizon(clock) as mobizon:
            text = CONFIG.replace("MOBIZON", mobizon.base_url).replace("TELEGRAM", telegram.url)
            for old, new in changes:
                assert old in text
                text = text.replace(old, new)
            file = folder / "config.yaml"
            file.write_text(text.replace("TOKEN", telegram.token), encoding="utf-8")
            file.chmod(0o600)
            async with build(load_config(file), clock, file) as bridge, beating(bridge):
                town = Town(bridge, mobizon, telegram, folder)
                looking = asyncio.create_task(_look_again_and_again(town))
                yield town
                looking.cancel()
    finally:
        await telegram.stop()


async def _look_again_and_again(town: Town) -> None:
    while True:
        async with town.news:
            town.news.notify_all()
        await asyncio.sleep(0.02)  # the Alertmanager keeps its own time


async def receipts(town: Town) -> list[str]:
    """What the webhooks came to that are understood, oldest first."""
    kept = await town.bridge.store.read(lambda tx: tx.receipts(SystemClock().now().replace(year=2000), 100))
    stored = [receipt for receipt in kept if receipt.state is ReceiptState.UNDERSTOOD]
    return [str(r.result.get("repeated") or [i["what"] for i in r.result["incidents"]]) for r in reversed(stored)]


async def test_it_fires_groups_and_resolves_and_one_sms_a_person_leaves(tmp_path: Path) -> None:
    async with a_town(tmp_path) as town, town.alertmanagers(group_wait="1s") as alertmanager:
        told = {"description": "Disk is almost full (< 10% left)"}
        await alertmanager.fire("DiskFull", told, instance="db1:9100", severity="critical")
        await alertmanager.fire("DiskFull", told, instance="db2:9100", severity="critical")
        await town.until(lambda: town.card.count("on the handset") == 2)

        assert len(town.mobizon.sent) == 2
        (text,) = {sms.text for sms in town.mobizon.sent}
        assert text.startswith("DiskFull x2: db1 db2. Disk is almost full (< 10% left)")

        await alertmanager.resolve("DiskFull", told, instance="db1:9100", severity="critical")
        await town.until(lambda: "db1" not in town.card)
        await alertmanager.resolve("DiskFull", told, instance="db2:9100", severity="critical")
        await town.until(lambda: "resolved by alertmanager" in town.card)
        assert len(town.mobizon.sent) == 2
        assert await receipts(town) == ["['opened']", "['eased']", "['resolved']"]


async def test_two_alertmanagers_in_a_cluster_make_one(tmp_path: Path) -> None:
    async with a_town(tmp_path) as town, town.alertmanagers(members=2) as pair:
        await pair.fire("DiskFull", instance="db1:9100", severity="critical")
        await town.until(lambda: town.card.count("on the handset") == 2)
        await pair.resolve("DiskFull", instance="db1:9100", severity="critical")
        await town.until(lambda: "resolved by alertmanager" in town.card)

        assert len(town.mobizon.sent) == 2
        assert len(town.telegram.chat(OPS).cards) == 1


async def test_reminders_are_told_from_the_first_word(tmp_path: Path) -> None:
    async with a_town(tmp_path) as town, town.alertmanagers(repeat_interval="1s") as alertmanager:
        await alertmanager.fire("DiskFull", instance="db1:9100", severity="critical")
        seen: list[str] = []

        async def reminded() -> None:
            while len(seen) < 2:
                seen[:] = await receipts(town)
                await asyncio.sleep(0.1)  # the Alertmanager keeps its own time

        await asyncio.wait_for(reminded(), PATIENCE)
        assert seen == ["['opened']", "duplicate"]  # within the dedup window; test_page.py has the reminder beyond it
        assert len(town.mobizon.sent) == 2


async def test_its_watchdog_beats_at_the_pace_of_the_readme_and_its_end_is_no_beat(tmp_path: Path) -> None:
    dog = "sources:\n  watchdog: {kind: heartbeat, token: am-secret, every: 5m, route: critical}\n"
    async with a_town(tmp_path, ("sources:\n", dog)) as town:
        town.source = "watchdog"
        # A sixtieth of the README's: a second for its group_interval of a minute, and as much less for repeat_interval.
        async with town.alertmanagers(group_wait="0s", group_interval="1s", repeat_interval="833ms") as alertmanager:
            seen: list[bool] = []

            async def heard(count: int) -> None:
                while len(seen) < count:
                    found = await town.bridge.store.read(
                        lambda tx: tx.receipts(SystemClock().now().replace(year=2000), 9)
                    )
                    seen[:] = [one.result["beat"] for one in reversed(found) if one.state is ReceiptState.UNDERSTOOD]
                    await asyncio.sleep(0.05)  # the Alertmanager keeps its own time

            await alertmanager.fire("Watchdog", severity="none")
            await asyncio.wait_for(heard(4), PATIENCE)
            assert seen == [True] * 4
            await alertmanager.resolve("Watchdog", severity="none")
            await asyncio.wait_for(heard(5), PATIENCE)
            while seen[-1]:  # one more may have been on its way
                await asyncio.wait_for(heard(len(seen) + 1), PATIENCE)
        assert town.card == ""
