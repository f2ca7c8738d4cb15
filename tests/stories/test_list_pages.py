"""All that Mobizon lists to a number is read: what is left unread would count as never sent."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NoReturn

import pytest

from bridge.domain.phone import PhoneNumber
from bridge.finder import listed_to
from bridge.ports import Failure, ListedMessage, MessagePage, MessageQuery, SmsGateway, Unreachable
from tests.fakes import START

NUMBER = PhoneNumber("+77010000001")


def listed(number: int, to: str = NUMBER.digits) -> ListedMessage:
    nothing = None, None, None, None, None, None, None, None, None
    return ListedMessage(str(number), str(number), to, "hello", "DELIVRD", *nothing)


class Ledger(SmsGateway):
    """A gateway that lists these, the newest first; `grows` are sent while it is read."""

    ahead = timedelta(0)

    def __init__(self, sms: Sequence[ListedMessage], grows: Sequence[ListedMessage] = ()) -> None:
        self.sms, self.grows, self.asked = list(sms), list(grows), 0

    async def messages(self, query: MessageQuery) -> MessagePage | Failure:
        start, self.asked = query.page * query.page_size, self.asked + 1
        page = MessagePage(tuple(self.sms[start : start + query.page_size]), len(self.sms))
        self.sms = [*self.grows, *self.sms]
        self.grows = []
        return page

    async def _unasked(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("a look only lists")

    send = statuses = balance = _unasked


class Stuck(Ledger):
    """It gives its first page whichever is asked for."""

    async def messages(self, query: MessageQuery) -> MessagePage | Failure:
        return await super().messages(MessageQuery(query.criteria, page_size=query.page_size))


class Failing(Ledger):
    """Its third page cannot be had."""

    async def messages(self, query: MessageQuery) -> MessagePage | Failure:
        return Unreachable("gone") if query.page == 2 else await super().messages(query)


async def ids(gateway: SmsGateway) -> list[int] | None:
    found = await listed_to(gateway, NUMBER, START, START)
    return None if found is None else [int(sms.id) for sms in found]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 5_001, 12_345])
async def test_however_many_there_are_all_are_read(count: int) -> None:
    ledger = Ledger([listed(number) for number in range(count, 0, -1)])
    assert await ids(ledger) == list(range(count, 0, -1))
    assert ledger.asked == max(1, -(-count // 100))


@pytest.mark.parametrize("grown", [1, 100, 250])
async def test_what_is_sent_meanwhile_hides_nothing(grown: int) -> None:
    old = [listed(number) for number in range(300, 0, -1)]
    found = await ids(Ledger(old, grows=[listed(number) for number in range(300 + grown, 300, -1)]))
    assert found is not None and set(range(1, 301)) <= set(found) and len(found) == len(set(found))


async def test_a_list_that_is_not_all_there_is_no_answer() -> None:
    sms = [listed(number) for number in range(300)]
    assert await ids(Stuck(sms)) is None
    assert await ids(Failing(sms)) is None


async def test_only_exactly_this_number_counts() -> None:
    """The gateway's criterion also takes numbers that contain it."""
    assert await ids(Ledger([listed(2, f"{NUMBER.digits}0"), listed(1)])) == [1]
