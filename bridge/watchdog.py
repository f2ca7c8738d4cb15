"""Ends the process when its event loop answers no more, so that a supervisor starts it again on what is on disk.

A thread of its own asks the loop; systemd hears through the same thread, so a blocked loop is silent there too.
"""

import asyncio
import faulthandler
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from bridge.clock import Clock

PATIENCE = 20.0  # seconds; a supervisor that starts us again at once has us back within thirty
_EVERY = 1.0


class Watch:
    """How long the loop has owed an answer, as far as this process could have given one.

    Only looks that came in time count: after a look that is late nobody ran here, neither we nor the loop (stopped,
    or the machine slept), and the loop gets its whole time anew.
    """

    def __init__(self, now: float) -> None:
        self._looked = now
        self._answered = now

    def answered(self, now: float) -> None:
        self._answered = now

    def is_over(self, now: float) -> bool:
        """One look; whether it is time to end it."""
        late, self._looked = now - self._looked > 3 * _EVERY, now
        if late:
            self._answered = now
        return now - self._answered >= PATIENCE


@asynccontextmanager
async def watching(clock: Clock, tell: Callable[[bytes], None]) -> AsyncIterator[None]:
    """Watch the running loop from a thread; `tell` gets systemd's words."""
    loop, over, watch = asyncio.get_running_loop(), threading.Event(), Watch(clock.monotonic())
    beats = "WATCHDOG_USEC" in os.environ

    def answer() -> None:
        watch.answered(clock.monotonic())
        if beats:
            tell(b"WATCHDOG=1")

    def look() -> None:
        while not over.wait(_EVERY):
            if watch.is_over(clock.monotonic()):
                _end()
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(answer)

    thread = threading.Thread(target=look, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _end() -> None:
    """Say where every thread stands, files and lines only, and end at once: nothing here can be asked to stop."""
    why = f"sms-bridge has not answered itself for {PATIENCE:.0f} seconds; it ends, to be started again:"
    print(why, file=sys.stderr, flush=True)
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    os._exit(1)


def notify_systemd(words: bytes) -> None:
    """sd_notify: one datagram, where systemd asked for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as systemd, suppress(OSError):
        systemd.setblocking(False)
        systemd.sendto(words, "\0" + address[1:] if address.startswith("@") else address)
