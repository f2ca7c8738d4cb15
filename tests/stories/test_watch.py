"""The bridge speaks about itself: each trouble rings once, is edited while it lasts, and ends."""

from pathlib import Path

from bridge.demo.mobizon import SimulatedMobizon
from tests.world import OPS, World, a_world, firing


async def test_a_refused_key_rings_once_and_mending_the_file_is_the_whole_repair(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("wrong\n")
    key_file.chmod(0o600)
    async with a_world(tmp_path, changes=[("api_key: demo", f"api_key_file: {key_file}")]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=5)
        assert world.mobizon.sent == []
        assert len(world.watch.cards) == 1 and not world.watch.last.silent
        assert "code 8" in world.watch.last.text and "2 SMS wait" in world.watch.last.text

        key_file.write_text("demo\n")
        await world.looks_after_itself()
        await world.advance(minutes=3)
        assert len(world.mobizon.sent) == 2
        assert len(world.watch.cards) == 1 and "over" in world.watch.last.text


async def test_an_account_that_lives_elsewhere_is_told_and_never_followed(world: World) -> None:
    async with SimulatedMobizon(world.clock) as elsewhere:
        world.mobizon.account_lives_at = elsewhere.base_url.removeprefix("http://")
        await world.types("/sms jonas hello")
        await world.advance(minutes=2)
        assert "mobizon.base_url" in world.watch.last.text
        assert elsewhere.requests == []
    assert world.mobizon.sent == []


async def test_while_mobizon_refuses_us_one_probe_a_minute_is_enough(world: World) -> None:
    world.mobizon.answers(code=14)
    for number in range(10):
        await world.api("POST", "/sms", {"to": "jonas", "text": f"text {number}"}, status=202)
    tries = len(world.mobizon.requests)
    await world.advance(minutes=10)
    assert len(world.mobizon.requests) - tries <= 11


async def test_a_sender_with_a_wrong_credential_is_told_once(world: World) -> None:
    for _ in range(20):
        await world.post("alertmanager", firing("db1"), token="wrong", status=401)
    assert len(world.watch.cards) == 1 and "alertmanager was refused" in world.watch.last.text
    assert world.mobizon.sent == []


async def test_what_is_not_json_ends_as_a_dead_letter_that_somebody_hears_about(world: World) -> None:
    for _ in range(5):
        await world.post("alertmanager", b"<html>", status=400)
    assert len(world.watch.cards) == 1 and "not JSON" in world.watch.last.text


async def test_what_is_json_but_nothing_we_know_is_kept_and_told(world: World) -> None:
    told = await world.post("alertmanager", {"alerts": "no"})
    receipt = await world.api("GET", f"/receipts/{told['receipt']}")
    assert receipt["state"] == "unreadable" and "alerts" in receipt["result"]["problem"]
    assert "cannot read" in world.watch.last.text

    await world.post("alertmanager", firing("db1"))  # the next one is none the worse
    assert len(world.mobizon.sent) == 2


async def test_little_money_is_told_before_it_is_none(tmp_path: Path) -> None:
    async with a_world(
        tmp_path, changes=[("notify: [aigerim]}\napi", "notify: [aigerim], balance_below: 3000}\napi")]
    ) as world:
        await world.looks_after_itself()
        assert world.watch.cards == []
        world.mobizon.balance -= 9000
        await world.advance(minutes=11)
        await world.looks_after_itself()
        assert "1000.00 KZT left" in world.watch.last.text
        assert 'sms_bridge_balance{currency="KZT"} 1000.0' in await world.metrics()


async def test_a_dead_telegram_is_alarmed_by_sms(world: World) -> None:
    world.telegram.is_down()
    for _ in range(10):
        await world.advance(seconds=10)
    assert len(world.phone("aigerim").texts) == 1
    assert "sms-bridge" in world.phone("aigerim").texts[0]


async def test_a_group_that_became_a_supergroup_is_followed(world: World) -> None:
    await world.types("/sms jonas hello")
    world.telegram.becomes_supergroup(OPS, -1005550000000)
    await world.advance(seconds=30)
    moved = world.telegram.chat(-1005550000000)
    assert any("on the handset" in card.text for card in (*moved.cards, *world.ops.cards))
    assert "-1005550000000" in world.watch.last.text


async def test_a_bad_config_is_refused_and_the_old_one_stays(world: World) -> None:
    good = world.config_file.read_text()
    world.config_file.write_text(good.replace("policy: critical", "policy: critcal"))
    assert any("critcal" in problem for problem in await world.bridge.reload())
    await world.settle()
    assert "the new config is refused" in world.watch.last.text
    await world.post("alertmanager", firing("db1"))
    assert len(world.mobizon.sent) == 2

    world.config_file.write_text(good.replace("policy: critical", "policy: one"))
    assert await world.bridge.reload() == []
    await world.post("alertmanager", firing("db1", name="Another"))
    assert len(world.mobizon.sent) == 3


async def test_what_only_happened_is_over_when_it_does_not_happen_again(world: World) -> None:
    await world.post("alertmanager", b"<html>", status=400)
    await world.advance(minutes=61)
    assert "over" in world.watch.last.text
    assert len(world.watch.cards) == 1
