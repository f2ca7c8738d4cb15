"""How the program logs: one line an event, in words on a terminal and in JSON elsewhere."""

import logging
import os
import sys

import structlog

_NAMES = ("incident", "notification", "attempt", "route", "receipt", "card", "tick", "source")


def set_up(level: str | None = None) -> None:
    """Log to stderr. `LOG_LEVEL` and `LOG_FORMAT` (`json` or `text`) in the environment rule."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(allow=_NAMES),
    ]
    wanted = os.environ.get("LOG_FORMAT", "text" if sys.stderr.isatty() else "json")
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if wanted == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(os.environ.get("LOG_LEVEL", level or "INFO").upper())
    # These print addresses with keys in them (httpx), whole rows with numbers and texts (SQLAlchemy at DEBUG), or
    # lines that help nobody here.
    for name in ("httpx", "httpcore", "apscheduler", "aiogram.event", "aiosqlite", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
