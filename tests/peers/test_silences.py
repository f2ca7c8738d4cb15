"""Silence from the chat and the real Alertmanager: what it then has, and what it says when the silence is over."""

import asyncio
import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bridge.clock import SystemClock
from bridge.config import load_config
from bridge.demo.telegram import Press
from bridge.doctor import Mark, api_of
from tests.peers.alertmanager import PATIENCE, Alertmanagers
from tests.peers.test_alertmanager import Town, a_town
from tests.world import JONAS, OPS


async def _knows(town: Town, alertmanager: Alertmanagers) -> None:
    """From now on the config says where that Alertmanager lives."""
    file = town.bridge.config_file
    assert file is not None
    address = f'{{token: am-secret, api_url: "{alertmanager.urls[0]}"}}'
    file.write_text(file.read_text(encoding="utf-8").replace("{token: am-secret}", address), encoding="utf-8")
    assert await town.bridge.reload() == []


async def _silences(alertmanager: Alertmanagers, member: int = 0) -> list[dict[str, Any]]:
    """As its own tool lists them: those in force."""
    command = ("amtool", f"--alertmanager.url={alertmanager.urls[member]}", "silence", "query", "-o", "json")
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=PATIENCE)
    found: list[dict[str, Any]] = json.loads(told.stdout or b"[]")
    return found


async def _press(town: Town, label: str) -> Press:
    await town.until(lambda: any(label in card.buttons for card in town.telegram.chat(OPS).cards))
    press = town.telegram.press(label, JONAS, OPS)
    await town.until(lambda: press.toast is not None)
    return press


async def test_a_silence_from_the_chat_is_alertmanager_s_own_until_it_is_taken_back(tmp_path: Path) -> None:
    async with a_town(tmp_path) as town, town.alertmanagers(group_wait="1s") as alertmanager:
        await _knows(town, alertmanager)
        for instance in ("db1:9100", 'db2 "the other" \\ one'):
            await alertmanager.fire("DiskFull", instance=instance, severity="critical", team="storage")
        await town.until(lambda: town.card.count("on the handset") == 2)

        began = SystemClock().now()
        await _press(town, "Silence 1h")
        await town.until(lambda: "Silenced until" in town.card and "Jonas has it" in town.card)
        (silence,) = await _silences(alertmanager)
        shared = {"alertname": "DiskFull", "severity": "critical", "team": "storage"}
        assert {m["name"]: m["value"] for m in silence["matchers"]} == shared
        assert all(m["isEqual"] and not m["isRegex"] for m in silence["matchers"])
        lasts = datetime.fromisoformat(silence["endsAt"]) - began
        assert timedelta(minutes=59) < lasts < timedelta(hours=1, seconds=PATIENCE)
        assert silence["createdBy"] == "Jonas via sms-bridge"

        await _press(town, "Undo silence")
        await town.until(lambda: "ilence" not in town.card)
        assert await _silences(alertmanager) == []
        assert "Jonas has it" in town.card
        assert len(town.mobizon.sent) == 2


async def test_silenced_at_one_of_a_pair_is_silenced_at_both_and_ends_with_its_incident(tmp_path: Path) -> None:
    async with a_town(tmp_path) as town, town.alertmanagers(members=2) as pair:
        await _knows(town, pair)
        await pair.fire("DiskFull", instance='db1 "x" \\ y', severity="critical")
        await town.until(lambda: town.card.count("on the handset") == 2)
        await _press(town, "Silence 4h")
        await town.until(lambda: "Silenced until" in town.card)
        while not await _silences(pair, member=1):  # noqa: ASYNC110 - another program: only asking tells
            await asyncio.sleep(0.1)

        await _press(town, "Resolve")
        await town.until(lambda: "resolved by Jonas" in town.card)
        while await _silences(pair, member=1):  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.1)
        assert len(town.telegram.chat(OPS).cards) == 1


async def test_doctor_would_find_it(tmp_path: Path) -> None:
    async with a_town(tmp_path) as town, town.alertmanagers() as alertmanager:
        await _knows(town, alertmanager)
        assert town.bridge.config_file is not None
        source = load_config(town.bridge.config_file).sources["alertmanager"]
        finding = await api_of(source)
        assert finding.mark is Mark.GOOD and "answers, Alertmanager 0." in finding.what
