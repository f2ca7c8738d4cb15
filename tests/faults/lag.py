"""How late a bridge's event loop answers, measured inside its own process.

`python -m tests.faults.lag FIGURES.json run --config FILE` is `sms-bridge run` with one task more. It writes its
figures at the end and at each SIGUSR1, which also begins a new count: so a test can look at its storm alone.
"""

import asyncio
import json
import signal
import sys
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path

from bridge import logs
from bridge.app import run
from bridge.cli import asking

_EVERY = 0.005  # seconds


@dataclass(frozen=True, slots=True)
class Lag:
    """In milliseconds; `samples` says how many moments were looked at, one each 5 ms."""

    samples: int
    p50: float
    p99: float
    worst: float


class Sampler:
    """Asks to be woken every 5 ms, and notes by how much it was late.

    While the loop is blocked nobody can ask. So a block counts for each moment in which somebody would have: one of
    100 ms is twenty samples of 100, 95, 90 … ms, or a few long blocks would vanish behind many short waits.
    """

    def __init__(self, figures: Path) -> None:
        self._figures = figures
        self._late = array("d")

    async def sample(self) -> None:
        """Until cancelled; writes what there is then."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.write)
        try:
            while True:
                wanted = loop.time() + _EVERY
                await asyncio.sleep(_EVERY)
                self.note(loop.time() - wanted)
        finally:
            self.write()

    def note(self, late: float) -> None:
        self._late.append(max(0.0, late))
        while (late := late - _EVERY) > 0:
            self._late.append(late)

    def lag(self) -> Lag:
        late = sorted(self._late) or [0.0]
        p50, p99, worst = (round(1000 * late[place], 3) for place in (len(late) // 2, len(late) * 99 // 100, -1))
        return Lag(len(self._late), p50, p99, worst)

    def write(self) -> None:
        """The figures appear whole or not at all; the count begins anew."""
        fresh = self._figures.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self.lag())))
        fresh.replace(self._figures)
        self._late = array("d")


async def _measured(config: Path, figures: Path) -> None:
    sampling = asyncio.create_task(Sampler(figures).sample())
    try:
        await run(config)
    finally:
        sampling.cancel()
        await asyncio.wait({sampling})


def main() -> None:
    figures, verb, option, config = sys.argv[1:]
    assert (verb, option) == ("run", "--config"), "write FIGURES.json run --config FILE"
    logs.set_up("ERROR")
    with asyncio.Runner(loop_factory=asking.loop_factory()) as runner:
        runner.run(_measured(Path(config), Path(figures)))


if __name__ == "__main__":
    main()
