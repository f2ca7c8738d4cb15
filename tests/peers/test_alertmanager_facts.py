"""What a real Alertmanager does on the wire, as far as we build on it."""

from pathlib import Path

from tests.peers.alertmanager import Webhook, alertmanagers, ear


async def test_a_group_is_one_post_and_carries_our_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a token of nobody's\n", encoding="utf-8")
    async with ear() as it, alertmanagers(tmp_path, Webhook(it.url, token, group_wait="1s")) as alertmanager:
        await alertmanager.fire("DiskFull", instance="db1")
        await alertmanager.fire("DiskFull", instance="db2")

        posts = await it.heard(1)

        assert posts[0].headers["Authorization"] == "Bearer a token of nobody's"
        assert posts[0].group["version"] == "4"
        assert posts[0].alerts == {("db1", "firing"), ("db2", "firing")}


async def test_a_group_that_is_half_over_is_still_firing_and_tells_of_both_halves(tmp_path: Path) -> None:
    async with ear() as it, alertmanagers(tmp_path, Webhook(it.url, group_wait="1s")) as alertmanager:
        await alertmanager.fire("DiskFull", instance="db1")
        await alertmanager.fire("DiskFull", instance="db2")
        await it.heard(1)

        await alertmanager.resolve("DiskFull", instance="db1")
        half = (await it.heard(2))[1]
        assert half.group["status"] == "firing"
        assert half.alerts == {("db1", "resolved"), ("db2", "firing")}

        await alertmanager.resolve("DiskFull", instance="db2")
        assert (await it.heard(3))[2].group["status"] == "resolved"


async def test_after_a_503_it_posts_the_same_again(tmp_path: Path) -> None:
    async with ear() as it, alertmanagers(tmp_path, Webhook(it.url, group_interval="30s")) as alertmanager:
        it.answers = [503]
        await alertmanager.fire("DiskFull", instance="db1")

        first, again = await it.heard(2)

        assert first.body == again.body


async def test_a_pair_posts_once_when_it_is_answered_in_time(tmp_path: Path) -> None:
    async with ear() as it, alertmanagers(tmp_path, Webhook(it.url), members=2, peer_timeout="500ms") as pair:
        await pair.fire("DiskFull", instance="db1")
        await it.heard(1)
        await pair.resolve("DiskFull", instance="db1")
        posts = await it.heard(2)  # an interval later: the second member's turn has come and gone

        assert [post.group["status"] for post in posts] == ["firing", "resolved"]


async def test_a_pair_posts_twice_when_the_first_is_left_waiting_and_only_the_external_url_differs(
    tmp_path: Path,
) -> None:
    async with ear() as it, alertmanagers(tmp_path, Webhook(it.url), members=2, peer_timeout="500ms") as pair:
        it.open.clear()
        await pair.fire("DiskFull", instance="db1")

        one, other = (post.group for post in await it.heard(2))

        assert one.pop("externalURL") != other.pop("externalURL")
        assert one == other
