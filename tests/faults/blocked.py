"""`python -m tests.faults.blocked FILE` is `sms-bridge run` with a planted bug: SIGUSR1 blocks its loop."""

import asyncio
import signal
import sys
import time
from pathlib import Path

from bridge import logs
from bridge.app import run
from bridge.cli import asking


def block() -> None:
    time.sleep(600)


async def main(config: Path) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, block)
    await run(config)


if __name__ == "__main__":
    logs.set_up("ERROR")
    with asyncio.Runner(loop_factory=asking.loop_factory()) as runner:
        runner.run(main(Path(sys.argv[1])))
