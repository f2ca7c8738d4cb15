"""A silence: somebody's wish that a source says nothing of an incident for a while, and how far it has come."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

PATIENCE = timedelta(minutes=10)
"""How long a source is asked for a silence that it does not answer."""
LOOK_AGAIN = timedelta(minutes=5)
"""A source that lists no alert may have lost it in a restart; Prometheus tells it again within so long."""
ITS_INCIDENT = "(incident)"
"""What undid a silence when its incident ended; no person of a config can be called so."""
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=5)


class SilenceState(StrEnum):
    """What is to be done next, and what is so at the source."""

    WANTED = "wanted"  # it has to be asked for; the source may have it already
    ACTIVE = "active"  # the source has it
    UNWANTED = "unwanted"  # it has to be ended there
    ASKING = "asking"  # it is over there; whether the alerts still fire has to be asked
    OVER = "over"  # nothing is left to do
    FAILED = "failed"  # there never was one, as far as we know


@dataclass(frozen=True, slots=True)
class Silence:
    """The newest silence of an incident. `reference` stands in its comment: by it we know our own again.

    `next_at` is when the state's next step is due. `undone_by` ended it before its time.
    `problem` is why the step did not work so far; `gone_since`, since when the source lists none of the alerts.
    """

    incident_id: int
    state: SilenceState
    asked_by: str
    asked_at: datetime
    ends_at: datetime
    reference: str
    next_at: datetime | None
    source_id: str | None = None  # what the source calls it
    undone_by: str | None = None
    failures: int = 0
    problem: str = field(default="")
    gone_since: datetime | None = None

    @property
    def holds(self) -> bool:
        """Whether it keeps the source quiet, or soon will."""
        return self.state in (SilenceState.WANTED, SilenceState.ACTIVE)

    @property
    def is_settled(self) -> bool:
        return self.state in (SilenceState.OVER, SilenceState.FAILED)

    def created(self, source_id: str) -> "Silence":
        """The source has it. Whoever changed their mind meanwhile still has."""
        if self.state is not SilenceState.WANTED:
            return replace(self, source_id=source_id)
        return replace(
            self, state=SilenceState.ACTIVE, source_id=source_id, next_at=self.ends_at, failures=0, problem=""
        )

    def undo(self, by: str, now: datetime) -> "Silence":
        """It is not wanted any more; what is not known to exist is looked for as well."""
        return replace(self, state=SilenceState.UNWANTED, undone_by=by, next_at=now, failures=0, problem="")

    def ended(self, now: datetime) -> "Silence":
        """The source notifies again."""
        return replace(self, state=SilenceState.ASKING, next_at=now, failures=0, problem="", gone_since=None)

    def gone(self, now: datetime) -> "Silence":
        """The source lists none of the alerts."""
        since = self.gone_since or now
        return replace(self, gone_since=since, next_at=since + LOOK_AGAIN)

    def settled(self, *, problem: str = "", failed: bool = False) -> "Silence":
        state = SilenceState.FAILED if failed else SilenceState.OVER
        return replace(self, state=state, next_at=None, problem=problem)

    def put_off(self, problem: str, now: datetime) -> "Silence":
        """The source did not answer: again in 5 s, 10 s … at most 5 minutes, and once more at its end."""
        wait = min(_FIRST_WAIT * 2 ** min(self.failures, 10), _LONGEST_WAIT)
        due = min(now + wait, self.ends_at) if now < self.ends_at else now + wait
        return replace(self, failures=self.failures + 1, problem=problem, next_at=due)
