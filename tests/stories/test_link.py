"""The link in a page: any phone that got the SMS can say "I have it", and only by pressing a button."""

import re
from collections.abc import AsyncIterator
from hashlib import sha256
from html import unescape
from pathlib import Path

import pytest

from bridge.domain.sms import measure
from tests.stories.test_restart import copied, wakes_on
from tests.world import JONAS, World, a_world, alert, firing, group, resolved

CLIMB = """policies:
  critical:
    steps:
      - {notify: [magnum], wait: 5m, deliver_within: "off"}
      - {notify: [jonas], wait: 10m, deliver_within: "off"}
      - {notify: [aigerim], wait: 10m, deliver_within: "off"}
"""
PLAIN = "policies:\n  critical:\n    steps: [{notify: [aigerim, jonas]}]\n"
LINKED = ('server: {listen: "127.0.0.1:0"}', 'server: {listen: "127.0.0.1:0", public_url: "https://sms.example.net"}')
TOKEN = re.compile(r" https://sms\.example\.net(/a/[1-9A-HJ-NP-Za-km-z]{11})$")


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    """A town whose pages carry links; Magnum, who has no Telegram, is called first."""
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB), LINKED]) as world:
        yield world


def link(world: World, name: str, nth: int = -1) -> str:
    """The path of the link in a text on this phone."""
    text = world.phone(name).texts[nth]
    found = TOKEN.search(text)
    assert found, text
    return found[1]


async def look(world: World, path: str, *, status: int = 200, method: str = "GET") -> str:
    async with world.http.request(method, path, allow_redirects=False) as answer:
        assert answer.status == status, await answer.text()
        return unescape(await answer.text())


def called(page: str) -> str:
    found = re.search(r'name="called" value="(\d+)"', page)
    return found[1] if found else "0"


async def press(world: World, path: str, verb: str, *, seen: str | None = None, status: int = 303) -> str:
    """Press a button of the page as it is now (or as it was when `seen`); what the browser shows then."""
    page = seen if seen is not None else await look(world, path)
    form = {"verb": verb, "called": called(page)}
    async with world.http.post(path, data=form, allow_redirects=False) as answer:
        told = unescape(await answer.text())
        assert answer.status == status, told
        onward = answer.headers.get("Location", "")
    await world.settle()
    return await look(world, path + onward) if onward else told


def buttons(page: str) -> list[str]:
    return re.findall(r"<button[^>]*>([^<]*)</button>", page)


async def state(world: World) -> str:
    return str((await world.api("GET", "/incidents/1"))["state"])


async def test_whoever_got_the_sms_takes_it_with_one_press_and_the_card_says_from_where(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    text = town.phone("magnum").texts[0]
    assert (
        text.startswith("HostOutOfDiskSpace db1.example.net: Disk is almost full (< 10% left) 08:")
        and " #1 https://" in text
    )
    assert measure(text).segments == 1

    page = await look(town, link(town, "magnum"))
    assert "Nobody has it yet" in page and "#1 HostOutOfDiskSpace db1.example.net" in page
    assert buttons(page) == ["Acknowledge", "Pass on"]

    page = await press(town, link(town, "magnum"), "acknowledge")
    assert "You have it" in page and buttons(page) == ["Resolve", "Hand back"]
    await town.advance(hours=1)
    assert "Magnum has it" in town.card.text and "from the SMS link" in town.card.text
    assert town.phone("jonas").texts == []
    timeline = (await town.api("GET", "/incidents/1"))["timeline"]
    assert ("acknowledged from the SMS link", "magnum") in [(entry["what"], entry["who"]) for entry in timeline]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_to_look_is_not_to_acknowledge(town: World, method: str) -> None:
    await town.post("alertmanager", firing("db1"))
    for address in ("", "?acknowledge", "?verb=acknowledge", "/", "?resolve"):
        await look(town, link(town, "magnum") + address, method=method)
    assert await state(town) == "triggered"
    await town.advance(minutes=6)
    assert len(town.phone("jonas").texts) == 1


async def test_pressing_twice_is_pressing_once(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    seen = await look(town, link(town, "magnum"))
    for _ in range(2):
        assert "You have it" in await press(town, link(town, "magnum"), "acknowledge", seen=seen)
    timeline = (await town.api("GET", "/incidents/1"))["timeline"]
    assert [entry["what"] for entry in timeline].count("acknowledged from the SMS link") == 1


async def test_to_pass_on_calls_the_next_now_and_a_double_tap_calls_one(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    seen = await look(town, link(town, "magnum"))
    assert "The next is being called." in await press(town, link(town, "magnum"), "pass_on", seen=seen)
    told = await press(town, link(town, "magnum"), "pass_on", seen=seen, status=200)
    assert "The next is being called already." in told
    assert [len(town.phone(name).texts) for name in ("jonas", "aigerim")] == [1, 0]
    assert "Nobody has it yet" in await look(town, link(town, "jonas"))


async def test_an_old_page_takes_nothing_from_anybody(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=6)
    seen = await look(town, link(town, "magnum"))
    await press(town, link(town, "jonas"), "acknowledge")

    page = await press(town, link(town, "magnum"), "acknowledge", seen=seen)
    assert "Jonas has it" in page and buttons(page) == ["Take it over"]
    for verb in ("resolve", "hand_back", "pass_on"):
        await press(town, link(town, "magnum"), verb, seen=seen)
    assert (await town.api("GET", "/incidents/1"))["acknowledged_by"] == "jonas"

    assert "You have it" in await press(town, link(town, "magnum"), "take_over")
    assert "Magnum has it" in await look(town, link(town, "jonas"))


async def test_who_has_it_resolves_it_or_hands_it_back(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await press(town, link(town, "magnum"), "acknowledge")
    page = await press(town, link(town, "magnum"), "hand_back")
    assert "Nobody has it yet" in page
    await town.advance(seconds=5)
    assert len(town.phone("jonas").texts) == 1 and len(town.phone("magnum").texts) == 1

    await press(town, link(town, "jonas"), "acknowledge")
    page = await press(town, link(town, "jonas"), "resolve")
    assert "Over since" in page and "resolved by Jonas" in page and buttons(page) == []
    assert await state(town) == "resolved"


async def test_each_sms_has_a_link_of_its_own_and_the_chats_answer_shows_on_every_page(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=6)
    assert link(town, "magnum") != link(town, "jonas")
    await town.press("Acknowledge", by=JONAS)
    assert "Jonas has it" in await look(town, link(town, "magnum"))
    assert "You have it" in await look(town, link(town, "jonas"))


async def answer_to(world: World, path: str, method: str = "GET") -> tuple[int, str, dict[str, str]]:
    form = {"verb": "acknowledge"} if method == "POST" else None
    async with world.http.request(method, path, data=form) as answer:
        headers = {name: value for name, value in answer.headers.items() if name != "Date"}
        return answer.status, await answer.text(), headers


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_unknown_and_outlived_links_look_alike(town: World, method: str) -> None:
    await town.post("alertmanager", firing("db1"))
    dead = link(town, "magnum")
    nowhere = await answer_to(town, "/a/7fKq2MZp9Wd", method)
    assert nowhere[0] == 404
    await town.post("alertmanager", resolved("db1"))
    town.clock.advance(24 * 3600 - 1)
    assert (await answer_to(town, dead))[0] == 200
    town.clock.advance(1)
    assert await answer_to(town, dead, method) == nowhere
    for wrong in ("/a/short", "/a/" + "x" * 500, "/a/7fKq2MZp9W%00", "/a/7fKq2MZp9W%C3%A9"):
        assert await answer_to(town, wrong, method) == nowhere


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('  magnum: {phone: "+77010000003"}\n', ""),
        ('  magnum: {phone: "+77010000003"}', '  magnum: {phone: "+77010000004"}'),  # the old phone is lost
    ],
)
async def test_a_link_is_of_a_person_and_their_phone(town: World, old: str, new: str) -> None:
    await town.post("alertmanager", firing("db1"))
    assert await answer_to(town, link(town, "magnum")) != await answer_to(town, "/a/7fKq2MZp9Wd")
    text = town.config_file.read_text().replace(old, new).replace("notify: [magnum]", "notify: [jonas]")
    assert old not in text or new.startswith(old)
    town.config_file.write_text(text)
    assert await town.bridge.reload() == []
    for method in ("GET", "POST"):
        assert await answer_to(town, link(town, "magnum"), method) == await answer_to(town, "/a/7fKq2MZp9Wd", method)
    assert await state(town) == "triggered"


async def test_an_observer_who_is_paged_may_answer_for_it(town: World) -> None:
    """Whoever is called is asked; in the chat the same person could not."""
    await town.post("alertmanager", firing("db1"))
    assert "You have it" in await press(town, link(town, "magnum"), "acknowledge")


async def test_what_is_typed_by_hand_into_a_form_is_refused_or_harmless(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    for body in (b"", b"verb=", b"verb=delete", b"\xff\xfe", b"verb=acknowledge%00", b"verb" * 200):
        async with town.http.post(link(town, "magnum"), data=body) as answer:
            assert answer.status == 400
    async with town.http.post(link(town, "magnum"), data=b"x" * 2000) as answer:
        assert answer.status == 413
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        async with town.http.request(method, link(town, "magnum")) as answer:
            assert answer.status == 405
    assert await state(town) == "triggered"


async def test_the_page_gives_no_number_and_no_address_away(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    for verb in ("", "acknowledge", "resolve"):
        page = await press(town, link(town, "magnum"), verb) if verb else await look(town, link(town, "magnum"))
        assert "7010000003" not in page and "http" not in page
        assert link(town, "magnum").removeprefix("/a/") not in page
    async with town.http.get(link(town, "magnum")) as answer:
        told = answer.headers
    assert told["Referrer-Policy"] == "no-referrer" and told["Cache-Control"] == "no-store"
    assert "noindex" in told["X-Robots-Tag"]
    assert "default-src 'none'" in told["Content-Security-Policy"] and "script" not in told["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in told["Content-Security-Policy"]


async def test_nobody_reads_the_key_of_somebody_elses_link_from_the_api(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    (told,) = [one for one in (await town.api("GET", "/sms?state=submitted"))["items"] if one["text"]]
    assert told["text"].endswith(" #1 https://sms.example.net/a/...")


async def test_what_an_alert_says_is_shown_and_never_obeyed(town: World) -> None:
    nasty = '</h1><script>alert(1)</script><img src=x onerror="alert(2)">'
    told = alert("db1")
    told["annotations"]["description"] = nasty
    told["labels"]["alertname"] = nasty
    await town.post("alertmanager", group([told], name="x"))
    async with town.http.get(link(town, "magnum")) as answer:
        page = await answer.text()
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page


async def test_a_retried_page_says_the_same_and_its_link_works(town: World) -> None:
    await town.mobizon.stop()
    await town.post("alertmanager", firing("db1"))
    await town.mobizon.start()
    await town.advance(seconds=30)
    assert "You have it" in await press(town, link(town, "magnum"), "acknowledge")


async def lives_twice(town: World, *, named_by_token: bool = False) -> str:
    """A page leaves, the end of the log is lost, and the same webhook is understood anew; the link of the first life.

    `named_by_token` plants a bug: what was sent is listed under a name that was made of its link as well.
    """
    await town.bridge.dispatcher.keep_webhook("generic", None, {}, b'{"message": "one", "severity": "critical"}')
    copied(town, "cut")
    await town.settle()
    before = link(town, "magnum")
    if named_by_token:
        (sent,) = town.mobizon.sent
        sent.reference = "sb" + sha256(sent.text.encode()).hexdigest()[:20]
    await wakes_on(town, "cut")
    await town.bridge.store.write(lambda tx: tx.numbers(5))  # as if five others had come first this time
    await town.settle()
    return before


async def test_after_a_lost_log_the_page_is_not_sent_again_and_the_link_on_the_phone_works(town: World) -> None:
    before = await lives_twice(town)
    assert len(town.phone("magnum").texts) == 1
    assert "You have it" in await press(town, before, "acknowledge")


async def test_a_page_that_its_link_makes_unrecognisable_is_seen_twice(town: World) -> None:
    before = await lives_twice(town, named_by_token=True)
    assert len(town.phone("magnum").texts) == 2
    assert (await answer_to(town, before))[0] == 404


async def test_without_an_address_of_ours_there_is_no_link(world: World) -> None:
    await world.post("alertmanager", firing("db1"))
    assert world.phone("aigerim").texts[0].endswith(" #1")
