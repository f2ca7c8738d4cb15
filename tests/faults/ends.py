"""What has to be true in the end, whatever happened before: in the database, in the chat and in Mobizon's ledger."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.app import build
from bridge.config import Config, load_config
from bridge.demo.mobizon import SimulatedMobizon
from bridge.demo.telegram import SimulatedTelegram
from tests.fakes import FakeClock
from tests.faults.life import message, tick
from tests.world import OPS

_MESSAGE = re.compile(r"trouble-(\d{5})")
_MINUTES = 9  # the three looks for a lost SMS, sending it once more, and asking what became of it


async def live_on(folder: Path, clock: FakeClock) -> None:
    """Start on what is there, and let ten minutes pass: every SMS owed comes to its end, and a card says so."""
    async with a_telegram(clock) as telegram, build(_with(telegram, folder), clock) as bridge:
        for _ in range(_MINUTES):
            await tick(bridge, "intake", "finder", "sender", "tracker", "reporter")
            await bridge.sender.drain()
            clock.advance(60)
        await tick(bridge, "tracker", "reporter")
        while await bridge.store.read(lambda tx: tx.cards_behind(clock.now(), 1)):
            clock.advance(4)  # a chat takes no more than a message every few seconds
            await tick(bridge, "reporter")
        counts = await bridge.store.read(lambda tx: tx.outbox_counts())
        assert not any(counts.values()), f"not every SMS came to an end: {counts}"
        rows = await bridge.store.read(lambda tx: tx.find_notifications(limit=100_000))
        states = Counter(row.state for row in rows)
        assert set(states) <= {"delivered"}, f"some SMS ended otherwise: {states}"
        shown = sum("on the handset" in card.text for card in telegram.chat(OPS).cards)
        assert shown == len(rows), f"{shown} cards say that an SMS arrived, and {len(rows)} did"


@asynccontextmanager
async def a_telegram(clock: FakeClock) -> AsyncIterator[SimulatedTelegram]:
    telegram = SimulatedTelegram(clock=clock)
    await telegram.start()
    try:
        yield telegram
    finally:
        await telegram.stop()


def _with(telegram: SimulatedTelegram, folder: Path) -> Config:
    """The config of the lives before, and a chat beside it."""
    file = folder / "with-a-chat.yaml"
    chat = f'telegram: {{token: "{telegram.token}", api_url: "{telegram.url}"}}\n'
    file.write_text((folder / "config.yaml").read_text() + chat)
    file.chmod(0o600)
    return load_config(file)


def wrong_in(mobizon: SimulatedMobizon, acked: Collection[int], begun: Collection[int]) -> list[str]:
    """What the ledger shows that must not be: lost, twice, or never asked for."""
    sent = Counter(
        int(found[1]) if (found := _MESSAGE.search(sms.text)) and sms.to == "77010000001" else -1
        for sms in mobizon.sent
    )
    lost = [f"{message(number)} was accepted and never sent" for number in sorted(set(acked) - set(sent))]
    twice = [f"{message(number)} was sent {count} times" for number, count in sent.items() if count > 1]
    return lost + twice + [f"{number}: nobody asked for it" for number in sorted(set(sent) - set(begun))]
