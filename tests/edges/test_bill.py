"""The bill of a month: what every line cost, what did not arrive, and whether somebody else uses the key."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import pytest

from bridge.cli import bills
from bridge.cli.verbs import BillBy
from bridge.domain.costs import By
from bridge.ports import Failure, ListedMessage, Lost, MessagePage, MessageQuery, SmsGateway, Unreachable
from tests.edges.cli_scene import Terminal, a_terminal
from tests.fakes import FakeClock
from tests.world import CONFIG, JONAS, firing

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
NOVEMBER = "--month", "2026-11"
ALMATY = ZoneInfo("Asia/Almaty")
TWO_PARTS = "a " * 100


@asynccontextmanager
async def a_month(folder: Path, config: str = CONFIG) -> AsyncIterator[Terminal]:
    """A page of two, a typed SMS of two segments, one to a landline, and one of a script that has no cost yet."""
    async with a_terminal(folder, config) as terminal:
        world = terminal.world
        world.mobizon.prices = {"KZ": Decimal("20.5"), "DE": Decimal("48.1234")}
        await world.post("alertmanager", firing("db1"))
        await world.types(f"/sms dana {TWO_PARTS}", by=JONAS)
        world.phone("magnum").is_landline()
        await world.types("/sms magnum hello")
        await world.advance(minutes=2)
        world.mobizon.answers(999, method="list")
        await world.api("POST", "/sms", {"to": "dana", "text": "hello"}, status=202)
        await world.advance(minutes=2)
        world.mobizon.recovers()
        yield terminal


async def test_a_bill_says_all_of_it(tmp_path: Path) -> None:
    async with a_month(tmp_path) as terminal:
        said = await terminal.types("bill", *NOVEMBER)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "2026-11, Asia/Almaty: 5 SMS, 6 segments, 130.1234 KZT",
        "of these not delivered: 1 SMS, 1 segment, 20.50 KZT",
        "of these without a cost so far: 1 SMS, 1 segment, about 20.50 KZT",
        "",
        "route     SMS  segments  cost         not delivered                no cost so far",
        "typed     3    4         61.50 KZT    1 SMS, 1 segment, 20.50 KZT  1 SMS, 1 segment, about 20.50 KZT",
        "critical  2    2         68.6234 KZT",
        "",
        "the dearest            SMS  segments  cost         not delivered  no cost so far",
        "#1 HostOutOfDiskSpace  2    2         68.6234 KZT",
        "",
        "Mobizon lists nothing else: nobody else uses the key.",
    ]
    assert said.out in README


@pytest.mark.parametrize(
    ("by", "lines"),
    [
        ("route", {"typed": "61.50", "critical": "68.6234"}),
        ("person", {"dana": "41.00", "jonas": "48.1234", "aigerim": "20.50", "magnum": "20.50"}),
        ("asker", {"alerts": "68.6234", "jonas": "41.00", "aigerim": "20.50", "api:scripts": None}),
        ("day", {"2026-11-20": "130.1234"}),
    ],
)
async def test_its_lines_stand_for_what_was_asked(tmp_path: Path, by: str, lines: dict[str, str | None]) -> None:
    async with a_month(tmp_path) as terminal:
        told = (await terminal.types("bill", *NOVEMBER, "--by", by, "-o", "json")).json
    costs = {line["name"]: next((cost["amount"] for cost in line["cost"]), None) for line in told["lines"]}
    assert costs == lines
    paid = sum((Decimal(cost) for cost in costs.values() if cost), Decimal(0))
    assert [{"amount": str(paid), "currency": "KZT"}] == told["total"]["cost"]


def test_the_verb_and_the_bill_know_the_same_lines() -> None:
    assert [str(by) for by in BillBy] == [str(by) for by in By]


async def test_somebody_else_who_uses_the_key_is_noticed(tmp_path: Path) -> None:
    async with a_month(tmp_path) as terminal:
        terminal.world.mobizon.somebody_else_sends("+77010000009", TWO_PARTS)
        terminal.world.mobizon.somebody_else_sends("+4915112345678", "hi", "sb0123456789abcdef0123")
        said = await terminal.types("bill", *NOVEMBER)
        as_json = await terminal.types("bill", *NOVEMBER, "-o", "json")
    assert said.code == 0
    assert said.out.splitlines()[-1] == (
        "Mobizon lists 2 SMS, 3 segments, 89.1234 KZT, that are not in this bill: somebody else uses the key "
        "(1 with a bridge's reference: another sms-bridge, or this one lost track)."
    )
    assert as_json.json["others"] == {
        "sms": 2,
        "segments": 3,
        "cost": [{"amount": "89.1234", "currency": "KZT"}],
        "bridges": 1,
        "in_doubt": {"sms": 0, "segments": 0, "cost": []},
    }
    assert as_json.json["total"]["sms"] == 5


async def test_an_sms_of_ours_in_doubt_is_nobody_elses(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        await terminal.world.looks_after_itself()  # the currency comes with the balance
        terminal.world.mobizon.hangs_after_accepting(times=1)
        await terminal.world.types("/sms jonas hello")
        said = await terminal.types("bill", *NOVEMBER)
        as_csv = await terminal.types("bill", *NOVEMBER, "-o", "csv")
        await terminal.world.advance(minutes=10)
        found = await terminal.types("bill", *NOVEMBER)
    assert said.out.splitlines()[-2:] == [
        "In doubt, and not in this bill yet: 1 SMS, 1 segment, 20.50 KZT, of ours.",
        "Mobizon lists nothing else: nobody else uses the key.",
    ]
    rows = {row["name"]: row["sms"] for row in csv.DictReader(io.StringIO(as_csv.out)) if row["what"] == "others"}
    assert rows == {"in doubt": "1", "not ours": "0"}
    assert "In doubt" not in found.out and found.out.startswith("2026-11, Asia/Almaty: 1 SMS, 1 segment, 20.50 KZT")


async def test_another_month_is_empty_and_asks_mobizon_for_its_own_days(tmp_path: Path) -> None:
    async with a_month(tmp_path) as terminal:
        said = await terminal.types("bill", "--month", "2026-10")
        asked = terminal.world.mobizon.requests[-1].parameters
    assert said.out.splitlines()[0] == "2026-10, Asia/Almaty: 0 SMS, 0 segments"
    assert asked["criteria[campaignCreateTsFrom]"] == "2026-10-01 00:00:00"
    assert asked["criteria[campaignCreateTsTo]"] == "2026-10-31 23:59:59"


async def test_a_spreadsheet_gets_a_row_for_each_line(tmp_path: Path) -> None:
    async with a_month(tmp_path) as terminal:
        terminal.world.mobizon.somebody_else_sends("+77010000009", "hi")
        said = await terminal.types("bill", *NOVEMBER, "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [(row["what"], row["name"], row["sms"], row["cost"], row["undelivered_cost"]) for row in rows] == [
        ("route", "typed", "3", "61.50", "20.50"),
        ("route", "critical", "2", "68.6234", "0.00"),
        ("total", "2026-11", "5", "130.1234", "20.50"),
        ("incident", "#1 HostOutOfDiskSpace", "2", "68.6234", "0.00"),
        ("others", "not ours", "1", "20.50", "0.00"),
    ]
    assert {row["currency"] for row in rows} == {"KZT"}


async def test_what_was_forgotten_still_costs_what_it_cost(tmp_path: Path) -> None:
    async with a_month(tmp_path, CONFIG.replace("bridge.db}", "bridge.db, keep: 1d}")) as terminal:
        world = terminal.world
        await world.advance(minutes=10)  # the last one has its cost now
        before = {by: await terminal.types("bill", *NOVEMBER, "--by", by, "-o", "json") for by in BillBy}
        world.clock.advance(2 * 24 * 3600)
        await world.settle()
        row = await world.bridge.store.read(lambda tx: tx.notification(4))
        assert row is not None and (row.number, row.text) == (None, None)
        after = {by: await terminal.types("bill", *NOVEMBER, "--by", by, "-o", "json") for by in BillBy}
    assert {by: said.json for by, said in after.items()} == {by: said.json for by, said in before.items()}
    assert after[BillBy.ROUTE].json["total"]["cost"] == [{"amount": "150.6234", "currency": "KZT"}]


async def test_a_bill_without_mobizons_list_says_so_and_fails(tmp_path: Path) -> None:
    async with a_month(tmp_path) as terminal:
        terminal.world.mobizon.answers(999, method="list")
        said = await terminal.types("bill", *NOVEMBER)
        as_csv = await terminal.types("bill", *NOVEMBER, "-o", "csv")
    assert said.code == 1
    assert "130.1234 KZT" in said.out and "nobody else" not in said.out
    assert said.err.startswith("whether somebody else uses the key is not known: ")
    assert (as_csv.code, "others" in as_csv.out) == (1, False)


async def test_a_month_that_is_none_is_explained(tmp_path: Path) -> None:
    async with a_month(tmp_path) as terminal:
        said = await terminal.types("bill", "--month", "november")
    assert (said.code, said.err) == (1, "month: not a month; write it like 2026-11\n")


# --- cells


def line(name: str, *sums: tuple[str, str], **more: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"sms": 0, "segments": 0, "cost": []}
    cost = [{"amount": amount, "currency": currency} for amount, currency in sums]
    return {"name": name, "incident": None, "sms": 2, "segments": 3, "cost": cost, "undelivered": nothing,
            "unpriced": nothing, **more}  # fmt: skip


def rows(*lines: dict[str, Any]) -> list[list[str]]:
    written = bills.as_csv(
        {"by": "person", "month": "2026-11", "lines": lines, "total": line("total"), "dearest": [], "others": None}
    )
    return list(csv.reader(io.StringIO(written.removeprefix("\ufeff"))))[1:-1]


@pytest.mark.parametrize("name", ["=1+1", "+77010000001", "-dana", "@sum", "\t=1", "=cmd|' /C calc'!A0"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused(name: str) -> None:
    ((_, cell, *_),) = rows(line(name, ("1.00", "KZT")))
    assert cell.lstrip(" ")[0] not in "=+-@"


def test_a_cell_with_commas_quotes_and_lines_stays_one_cell() -> None:
    ((_, cell, *_),) = rows(line('a, "b"\nc', ("1.00", "KZT")))
    assert cell == 'a, "b" c'


def test_a_column_adds_up_where_there_are_two_currencies() -> None:
    found = rows(line("dana", ("20.50", "KZT"), ("0.0735", "EUR")))
    assert [(row[2], row[4], row[5]) for row in found] == [("2", "0.0735", "EUR"), ("0", "20.50", "KZT")]


def test_letters_of_another_alphabet_are_marked_as_utf_8() -> None:
    bill: dict[str, Any] = {"by": "person", "month": "2026-11", "total": line("total"), "dearest": [], "others": None}
    assert bills.as_csv({**bill, "lines": [line("дана")]}).startswith("\ufeff")
    assert bills.as_csv({**bill, "lines": [line("dana")]}).startswith("what,")


# --- Mobizon's list


def sms(number: int, price: str | None = "20.5000") -> ListedMessage:
    nothing = None, None, None, None, None, None
    cost = Decimal(price) if price else None
    return ListedMessage(str(number), str(number), "77010000001", "hi", "DELIVRD", None, 1, cost, *nothing)


class Ledger(SmsGateway):
    """A gateway that lists these; `says` goes before, answer by answer."""

    ahead = timedelta(0)

    def __init__(self, listed: Sequence[ListedMessage], says: Sequence[Failure] = ()) -> None:
        self.listed, self.says, self.asked = listed, list(says), list[MessageQuery]()

    async def messages(self, query: MessageQuery) -> MessagePage | Failure:
        self.asked.append(query)
        if self.says:
            return self.says.pop(0)
        start = query.page * query.page_size
        return MessagePage(tuple(self.listed[start : start + query.page_size]), len(self.listed))

    async def _unasked(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("a bill only lists")

    send = statuses = balance = _unasked


class Stuck(Ledger):
    """It gives its first page whichever is asked for."""

    async def messages(self, query: MessageQuery) -> MessagePage | Failure:
        return await super().messages(MessageQuery(query.criteria, 0, query.page_size))


class PatientClock(FakeClock):
    """Whoever waits has waited."""

    async def wait(self, seconds: float) -> None:
        self.advance(seconds)


async def listed(gateway: SmsGateway) -> int | Failure:
    since, until = datetime(2026, 10, 31, 19, tzinfo=UTC), datetime(2026, 11, 30, 19, tzinfo=UTC)
    found = await bills.listed(gateway, PatientClock(), ALMATY, since, until, lambda line: None)
    return len(found) if isinstance(found, list) else found


@pytest.mark.parametrize("count", [0, 1, 100, 101, 1234])
async def test_every_page_is_read_the_oldest_first(count: int) -> None:
    ledger = Ledger([sms(number) for number in range(count)])
    assert await listed(ledger) == count
    assert len(ledger.asked) == max(1, -(-count // 100))
    assert {json.dumps(dict(query.sort)) for query in ledger.asked} == {'{"campaignId": "ASC"}'}


async def test_mobizon_is_given_the_patience_it_asks_for() -> None:
    wait = Unreachable("slow down", 30, wait=timedelta(seconds=10))
    assert await listed(Ledger([sms(1)], [wait, wait])) == 1
    assert await listed(Ledger([sms(1)], [wait] * 20)) == wait
    assert await listed(Ledger([sms(1)], [Lost("no answer")])) == Lost("no answer")


async def test_a_list_without_an_end_is_no_answer() -> None:
    assert isinstance(await listed(Stuck([sms(number) for number in range(300)])), Lost)


def test_an_sms_that_has_no_price_yet_is_somebody_elses_all_the_same() -> None:
    found = bills.others([sms(1), sms(2, None), sms(3)], {"1"}, (), "KZT")
    assert (found["sms"], found["segments"], found["bridges"]) == (2, 2, 0)
    assert found["cost"] == [{"amount": "20.50", "currency": "KZT"}]
