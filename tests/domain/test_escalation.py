"""The plan as it is written, and how each row's news moves the rows behind it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.domain.escalation import Policy, Reaction, Step, hasten, plan, react, ring_again, why_hopeless
from bridge.domain.incident import Incident
from bridge.domain.notification import Notification, State

NOW = datetime(2026, 11, 23, 3, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
INCIDENT = Incident(id=7, source="am", group_key="g", route="critical", opened_at=NOW, started_at=NOW, critical=True)
CLIMB = Policy(
    "critical",
    (
        Step(("chat",), wait=2 * MINUTE),
        Step(("rota primary",), wait=5 * MINUTE),
        Step(("jonas", "aigerim", "jonas"), wait=10 * MINUTE),
    ),
    repeat=1,
)


def _rows(policy: Policy = CLIMB, **how: object) -> list[Notification]:
    planned = plan(policy, INCIDENT, NOW, **how)  # type: ignore[arg-type]
    return [replace(row, id=number) for number, row in enumerate(planned, start=1)]


def _follow(rows: list[Notification], row: Notification, now: datetime) -> Reaction:
    """The row has just left the wire."""
    return react(rows, row, replace(row, state=State.SENDING), now)


def _told(rows: list[Notification]) -> list[tuple[int, int, str, float]]:
    return [(row.round, row.step, row.target, (row.due_at - NOW) / MINUTE) for row in rows]


def test_every_rung_of_every_round_is_written_in_advance() -> None:
    assert _told(_rows()) == [
        (1, 2, "rota primary", 2.0),
        (1, 3, "jonas", 7.0),
        (1, 3, "aigerim", 7.0),
        (2, 1, "chat", 17.0),
        (2, 2, "rota primary", 19.0),
        (2, 3, "jonas", 24.0),
        (2, 3, "aigerim", 24.0),
    ]


def test_everyone_on_call_is_each_rotas_turn() -> None:
    policy = Policy("all", (Step(("everyone on call", "jonas"), wait=MINUTE),))
    assert [row.target for row in _rows(policy, rotas=["db", "web"])] == ["rota db", "rota web", "jonas"]


def test_a_delay_lets_the_chat_go_first() -> None:
    policy = replace(CLIMB, delay=3 * MINUTE, repeat=0)
    assert [minutes for *_, minutes in _told(_rows(policy))] == [5.0, 10.0, 10.0]


def test_who_had_it_is_told_first_and_has_the_first_rungs_wait_to_answer() -> None:
    told = _told(_rows(replace(CLIMB, repeat=0), first="dana"))
    assert told[:3] == [(1, 0, "dana", 0.0), (1, 1, "chat", 2.0), (1, 2, "rota primary", 4.0)]


def test_who_gave_it_back_is_not_called_first() -> None:
    policy = Policy("p", (Step(("aigerim",)), Step(("jonas",)), Step(("aigerim", "dana"))))
    assert _told(_rows(policy, without={"aigerim"})) == [(1, 2, "jonas", 0.0), (1, 3, "dana", 5.0)]


def test_a_policy_of_one_who_gave_it_back_has_nobody_else_to_call() -> None:
    policy = Policy("p", (Step(("aigerim",)),))
    assert _rows(policy, without={"aigerim"}) == []


@pytest.mark.parametrize(
    ("minutes_late", "moved"),
    [(0.0, [7.0, 7.0, 17.0, 19.0, 24.0, 24.0]), (1.5, [8.5, 8.5, 18.5, 20.5, 25.5, 25.5])],
)
def test_a_rung_that_left_late_shifts_all_behind_it(minutes_late: float, moved: list[float]) -> None:
    rows = _rows()
    now = rows[0].due_at + minutes_late * MINUTE
    rows[0] = replace(rows[0], state=State.SUBMITTED, submitted_at=now)

    reaction = _follow(rows, rows[0], now)

    became = {was.id: changed for changed, was in reaction.moves}
    assert [(became.get(row.id, row).due_at - NOW) / MINUTE for row in rows[1:]] == moved
    assert reaction.deadline == now + 2 * MINUTE
    assert reaction.nobody_at is None


def test_only_the_first_of_a_rung_starts_its_wait() -> None:
    rows = _rows()[1:3]
    first, second = (replace(row, state=State.SUBMITTED, submitted_at=row.due_at) for row in rows)
    assert _follow([first, rows[1]], first, first.due_at).nobody_at == first.due_at + 10 * MINUTE
    assert _follow([first, second], second, second.due_at + MINUTE).nobody_at is None


@pytest.mark.parametrize(
    ("state", "hastened"),
    [(State.FAILED, "failed"), (State.UNDELIVERED, "undelivered"), (State.UNCERTAIN, "uncertain")],
)
def test_a_hopeless_rung_calls_the_next_at_once_and_keeps_the_distances(state: State, hastened: str) -> None:
    rows = _rows()
    now = rows[0].due_at + timedelta(seconds=20)
    rows[0] = replace(rows[0], state=state, ended_at=now, lost_at=now)

    reaction = _follow(rows, rows[0], now)

    assert reaction.hastened == hastened
    dues = [changed.due_at for changed, _ in reaction.moves]
    assert dues[0] == dues[1] == now
    assert dues[2] - dues[0] == 10 * MINUTE


def test_one_who_may_still_get_it_holds_the_next_rung_back() -> None:
    rows = _rows()
    now = rows[1].due_at
    rows[1] = replace(rows[1], state=State.FAILED, ended_at=now)
    rows[2] = replace(rows[2], state=State.SUBMITTED, submitted_at=now)
    assert _follow(rows, rows[1], now).hastened == ""
    assert _follow(rows, rows[1], now + 2 * MINUTE).hastened == "failed"


@pytest.mark.parametrize(
    ("changes", "hopeless"),
    [
        ({"moderated": True, "deliver_within": None}, "moderated"),
        ({"deliver_within": None}, ""),
        ({"deliver_within": 2 * MINUTE}, "late"),
        ({"deliver_within": 3 * MINUTE}, ""),
        ({"state": State.DELIVERED}, ""),
    ],
)
def test_what_is_not_on_the_handset_in_time_is_hopeless(changes: dict[str, object], hopeless: str) -> None:
    row = replace(_rows()[0], state=State.SUBMITTED, submitted_at=NOW)
    assert why_hopeless([replace(row, **changes)], NOW + 2 * MINUTE) == hopeless  # type: ignore[arg-type]


def test_a_next_rung_that_waits_for_the_gateway_keeps_its_own_hour() -> None:
    rows = _rows()
    now = rows[0].due_at
    rows[0] = replace(rows[0], state=State.UNDELIVERED, ended_at=now)
    rows[1] = replace(rows[1], failures=2, attempt=2)
    assert _follow(rows, rows[0], now).moves == ()


def test_when_nobody_is_left_and_nobody_was_reached_the_chat_rings_now() -> None:
    rows = _rows(replace(CLIMB, repeat=0))
    now = NOW + 20 * MINUTE
    rows = [replace(row, state=State.FAILED, ended_at=now) for row in rows]
    assert _follow(rows, rows[-1], now).nobody_at == now


def test_when_one_was_reached_the_chat_waits_for_the_last_rungs_answer() -> None:
    rows = _rows(replace(CLIMB, repeat=0))
    now = NOW + 20 * MINUTE
    rows = [replace(row, state=State.FAILED, ended_at=now) for row in rows]
    rows[0] = replace(rows[0], state=State.DELIVERED, submitted_at=NOW, ended_at=NOW)
    assert _follow(rows, rows[-1], now + MINUTE).nobody_at == now + 10 * MINUTE


def test_what_becomes_of_a_rung_after_the_next_has_begun_is_old_news() -> None:
    rows = _rows()
    now = rows[0].due_at + MINUTE
    rows[1] = replace(rows[1], state=State.SUBMITTED, attempt=1, submitted_at=now)
    submitted = replace(rows[0], state=State.SUBMITTED, submitted_at=now)
    rows[0] = replace(submitted, state=State.UNDELIVERED, ended_at=now)
    assert react(rows, rows[0], submitted, now) == Reaction()


def test_what_becomes_of_a_row_later_shifts_nothing_again() -> None:
    rows = _rows()
    submitted = replace(rows[0], state=State.SUBMITTED, submitted_at=rows[0].due_at)
    rows[0] = replace(submitted, state=State.DELIVERED)
    assert react(rows, rows[0], submitted, rows[0].due_at + 4 * MINUTE) == Reaction()


def test_passing_on_calls_the_next_rung_and_only_that_one_now() -> None:
    rows = _rows()
    rows[0] = replace(rows[0], state=State.DELIVERED)
    moves = hasten(rows, NOW + 3 * MINUTE)
    dues = [(changed.due_at - NOW) / MINUTE for changed, _ in moves]
    assert dues == [3.0, 3.0, 13.0, 15.0, 20.0, 20.0]
    assert hasten([rows[0]], NOW) == ()


def test_the_chat_rings_with_growing_gaps() -> None:
    assert [(ring_again(rings, NOW) - NOW) / MINUTE for rings in range(6)] == [5, 10, 20, 40, 60, 60]


def test_a_chat_beside_people_in_the_first_rung_has_rung_already() -> None:
    policy = Policy("p", (Step(("aigerim", "chat")), Step(("jonas", "chat"))))
    assert [row.target for row in _rows(policy)] == ["aigerim", "jonas", "chat"]
    assert [row.target for row in _rows(policy, first="dana")] == ["dana", "aigerim", "chat", "jonas", "chat"]


def test_whoever_gave_it_back_is_not_waited_for() -> None:
    policy = Policy("p", (Step(("jonas",)), Step(("aigerim",)), Step(("dana",))), delay=3 * MINUTE)
    assert _told(_rows(policy, without={"aigerim"})) == [(1, 1, "jonas", 0.0), (1, 3, "dana", 5.0)]


def test_who_alone_can_be_called_gets_a_moment_after_giving_it_back() -> None:
    policy = Policy("p", (Step(("aigerim",), wait=4 * MINUTE),), repeat=1)
    assert _told(_rows(policy, without={"aigerim"})) == [(2, 1, "aigerim", 4.0)]


def test_a_test_of_the_source_calls_the_first_rung_only() -> None:
    rows = plan(CLIMB, replace(INCIDENT, test=True), NOW)
    assert [row.target for row in rows] == ["rota primary"]


def test_the_deadline_is_that_of_the_last_one_who_may_get_it() -> None:
    rows = _rows()
    now = rows[1].due_at
    rows[1] = replace(rows[1], state=State.SUBMITTED, submitted_at=now)
    assert _follow(rows, rows[1], now).deadline is None  # the other has not left yet
    later = now + timedelta(seconds=40)
    rows[2] = replace(rows[2], state=State.SUBMITTED, submitted_at=later)
    assert _follow(rows, rows[2], later).deadline == later + 2 * MINUTE
    rows[2] = replace(rows[2], state=State.DELIVERED)
    assert _follow(rows, rows[2], later).deadline is None


@pytest.mark.parametrize(("within", "looked_at"), [(None, 2.0), (1.0, 1.0), (10.0, 2.0)])
def test_moderation_is_looked_at_after_two_minutes_however_long_a_delivery_may_take(
    within: float | None, looked_at: float
) -> None:
    row = replace(_rows()[0], state=State.SUBMITTED, submitted_at=NOW, moderated=True)
    row = replace(row, deliver_within=None if within is None else within * MINUTE)
    assert _follow([row], row, NOW).deadline == NOW + looked_at * MINUTE


def test_two_of_a_rung_that_are_settled_together_begin_it() -> None:
    rows = _rows()[1:]
    now = rows[0].due_at + MINUTE
    rows[0] = replace(rows[0], state=State.FAILED, ended_at=now)
    rows[1] = replace(rows[1], state=State.SUBMITTED, submitted_at=now, deliver_within=None)
    moved = {was.id: changed.due_at - was.due_at for changed, was in _follow(rows, rows[0], now).moves}
    assert moved == {row.id: MINUTE for row in rows[2:]}


def test_what_is_too_old_for_an_sms_ends_in_the_chat() -> None:
    rows = [replace(row, state=State.CANCELLED, ended_at=NOW) for row in _rows(replace(CLIMB, repeat=0))]
    assert react(rows, rows[-1], replace(rows[-1], state=State.PLANNED), NOW).nobody_at == NOW


def test_a_chat_holds_no_rung_back() -> None:
    chat, lost = (replace(row, state=State.DELIVERED, ended_at=NOW) for row in _rows()[3:5])
    assert why_hopeless([chat], NOW) == ""
    assert why_hopeless([chat, replace(lost, state=State.FAILED)], NOW) == "failed"
    assert why_hopeless([chat, lost], NOW) == ""


def test_old_news_of_a_lost_one_that_left_again_moves_nothing() -> None:
    rows = _rows()
    now = rows[0].due_at + 6 * MINUTE
    rows[1] = replace(rows[1], state=State.SUBMITTED, attempt=1, submitted_at=rows[0].due_at + MINUTE)
    rows[0] = replace(rows[0], state=State.SUBMITTED, attempt=2, submitted_at=now)
    assert _follow(rows, rows[0], now) == Reaction()


def test_passing_on_does_not_count_what_is_sent_once_more() -> None:
    rows = _rows()
    now = rows[0].due_at + MINUTE
    rows[0] = replace(rows[0], resent=True, due_at=now)
    assert [(changed.id, changed.due_at) for changed, _ in hasten(rows, now)][:2] == [(2, now), (3, now)]
