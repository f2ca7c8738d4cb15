"""Nobody sends an SMS who at the moment it leaves may not: any order of commands, presses, claims and reloads."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bridge.domain.house import House, Person, Role
from bridge.domain.incident import Incident
from bridge.domain.notification import Notification
from bridge.outbox import Outbox
from bridge.ports import Transaction
from bridge.sender import Sender
from tests.faults.roles import Roles
from tests.faults.tracing import LONG
from tests.world import World

pytestmark = pytest.mark.timeout(2 * 3600 if LONG else 240)
RUNS = settings(
    max_examples=500 if LONG else 8,
    stateful_step_count=40 if LONG else 15,
    deadline=None,
    derandomize=not LONG,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_nobody_sends_who_may_not_at_that_moment() -> None:
    run_state_machine_as_test(Roles, settings=RUNS)


def test_a_planted_bug_is_found() -> None:
    with pytest.raises(AssertionError, match="by now"):
        run_state_machine_as_test(TrustingRoles, settings=settings(RUNS, max_examples=30))


class Trusting(Outbox):
    """The planted bug: whoever was allowed to ask is not asked about again."""

    def _ready(
        self, tx: Transaction, row: Notification, incident: Incident | None, house: House, now: datetime
    ) -> Notification:
        asker = row.asked_by or ""
        believed = {**house.people, asker: Person(asker, role=Role.OPERATOR)}
        return super()._ready(tx, row, incident, replace(house, people=believed), now)


class TrustingRoles(Roles):
    """Roles, with the bug."""

    def put_to_work(self, world: World) -> None:
        bridge = world.bridge
        outbox = Trusting(bridge.store, world.clock, bridge.house, bridge.metrics)
        sender = Sender(outbox, bridge.gateway, world.clock, slots=16)
        bridge.ticks[bridge.ticks.index(bridge.sender)] = sender
        bridge.sender = sender
