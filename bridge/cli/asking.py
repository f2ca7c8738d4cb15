"""Whom a verb asks: the config, a running bridge, Mobizon, the database; and the sentence when one does not answer."""

# ruff: noqa: PLC0415 - imports wait inside, so that --help is quick and no verb pays for what another needs

import asyncio
import errno
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from bridge.cli.words import clean

if TYPE_CHECKING:
    from bridge.client import Client
    from bridge.config import Config
    from bridge.domain.house import Role
    from bridge.mobizon import Mobizon
    from bridge.ports import Failure, Receipt, Store

T = TypeVar("T")


def failed(*sentences: str) -> typer.Exit:
    """Say why on stderr, for `raise failed(…)`: exit code 1."""
    for sentence in sentences:
        typer.echo(clean(sentence), err=True)
    return typer.Exit(1)


@contextmanager
def config_sentences() -> Iterator[None]:
    from bridge.config import ConfigError

    try:
        yield
    except ConfigError as error:
        count = len(error.problems)
        raise failed(*error.problems, f"{count} problem{'s' * (count != 1)}") from error


@contextmanager
def storage_sentences() -> Iterator[None]:
    """What the database, the disk or a taken port say, in one sentence."""
    from bridge.ports import NotStored
    from storage import SchemaTooNew, StoreBusy

    try:
        yield
    except (NotStored, SchemaTooNew, StoreBusy) as error:
        raise failed(str(error)) from error
    except OSError as error:
        told = str(error.strerror or error)
        if error.errno == errno.EADDRINUSE:
            told += "; stop what listens there (another sms-bridge?), or change server.listen"
        raise failed(told) from error


def load(path: Path) -> "Config":
    """The config; else its problems on stderr, and exit 1."""
    from bridge.config import load_config

    with config_sentences():
        return load_config(path)


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Until it is done; Ctrl-C ends it quietly, with exit code 130."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop: a fifth faster on the webhook path."""
    try:
        import uvloop
    except ImportError:  # not made for this platform
        return None
    return uvloop.new_event_loop


@asynccontextmanager
async def running_bridge(
    config: "Config", needed: "Role", url: str | None, token_file: Path | None, name: str | None = None
) -> AsyncIterator["Client"]:
    from bridge.client import CannotAsk, Client, address, api_token

    try:
        token = api_token(config, needed, file=token_file, name=name)
        async with Client(url or address(config), token) as client:
            yield client
    except CannotAsk as error:
        raise failed(str(error)) from error


def get(config: "Config", url: str | None, token_file: Path | None, path: str, parameters: Mapping[str, str]) -> Any:
    from bridge.domain.house import Role

    async def ask() -> Any:
        async with running_bridge(config, Role.OBSERVER, url, token_file) as client:
            return await client.get(path, **parameters)

    return wait_for(ask())


async def whole(config: "Config", url: str | None, token_file: Path | None, number: int) -> Any:
    """An incident, or else an SMS."""
    from bridge.client import NotThere
    from bridge.domain.house import Role

    async with running_bridge(config, Role.OBSERVER, url, token_file) as client:
        for kind in ("incidents", "sms"):
            try:
                return await client.get(f"/api/v1/{kind}/{number}")
            except NotThere:
                continue
    raise failed(f"there is no incident or SMS #{number}")


async def post_sms(client: "Client", wanted: Mapping[str, Any]) -> Any:
    from bridge.client import NoAnswer

    try:
        return await client.post("/api/v1/sms", {key: value for key, value in wanted.items() if value is not None})
    except NoAnswer as error:
        key = wanted["idempotency_key"]
        raise failed(
            f"{error}; it may have been taken: again with --idempotency-key {key} never makes a second SMS"
        ) from error


@asynccontextmanager
async def gateway(config: "Config") -> AsyncIterator["Mobizon"]:
    from bridge.clock import SystemClock
    from bridge.metrics import Metrics
    from bridge.mobizon import Mobizon

    async with Mobizon(config.mobizon, SystemClock(), Metrics()) as gateway:
        yield gateway


def answered(answer: "T | Failure") -> T:
    """What Mobizon answered; else why it did not, and exit 1."""
    from bridge.ports import Lost, Refused, Unreachable

    match answer:
        case Unreachable(reason=reason, advice=advice):
            raise failed(f"{reason}; {advice}" if advice else reason)
        case Refused(reason=reason) | Lost(reason=reason):
            raise failed(reason)
        case _:
            return answer


@asynccontextmanager
async def _copy_of_store(path: Path) -> AsyncIterator["Store"]:
    """The database to read in: a copy, since only `run` opens the real one.

    Copying takes longer the larger it is; good enough for what is asked by hand, now and then.
    """
    import storage

    with tempfile.TemporaryDirectory(prefix="sms-bridge-") as folder:
        copy = Path(folder) / path.name
        storage.backup(path, copy)
        async with storage.open_store(copy) as store:
            yield store


async def ours_by_message(path: Path, ids: Sequence[str]) -> dict[str, int]:
    """Our numbers of these messages; when the database cannot be read, that is said once."""
    from bridge.ports import NotStored
    from storage import SchemaTooNew

    try:
        async with _copy_of_store(path) as store:
            rows = await store.read(lambda tx: tx.by_message_id(ids))
    except (NotStored, SchemaTooNew) as error:
        typer.echo(f"which of them are ours cannot be told: {error}", err=True)
        return {}
    return {message_id: row.id for message_id, row in rows.items()}


async def kept_receipt(path: Path, number: int) -> "Receipt":
    """A stored webhook with its body."""
    with storage_sentences():
        async with _copy_of_store(path) as store:
            kept = await store.read(lambda tx: tx.receipt(number))
    if kept is None:
        raise failed(f"there is no receipt {number}")
    return kept
