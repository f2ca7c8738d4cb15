"""The embedded database: one writing connection with group commit, one for reading, and nobody else."""

import asyncio
import errno
import fcntl
import logging
import os
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite
from sqlalchemy import StaticPool, create_engine
from sqlalchemy.exc import DBAPIError

from bridge.ports import Duplicate, NotStored, Transaction
from storage import schema
from storage.transaction import SqlTransaction

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Transaction], Any]
_Request = tuple[Work, asyncio.Future[Any]]

_BATCH = 200
"""How many transactions share a commit at most: more gains little and makes the first wait for the last."""

_LOCK_WAIT = 5.0  # seconds that SQLite waits for a stranger (a shell, a backup) to let go


class StoreBusy(Exception):
    """Another process has this database open for writing."""


@asynccontextmanager
async def open_store(path: Path) -> AsyncIterator["SqliteStore"]:
    """Open the database for this process alone, made and migrated where needed.

    Raises StoreBusy, SchemaTooNew or NotStored, each in one sentence for the operator.
    """
    with _alone(path):
        writer, reader = _Thread(lambda: _connect(path)), _Thread(lambda: _connect(path, read_only=True))
        try:
            with _naming(path):
                await writer.start()
                await writer.run(writer.session.migrate, path)
                await reader.start()
            store = SqliteStore(path, writer, reader)
            try:
                yield store
            finally:
                await store.finish()
        finally:
            await reader.close()
            await writer.close()  # the last one out folds the log into the file


def migrate(path: Path) -> None:
    """Bring the database up to date; raises as `open_store` does."""
    with _alone(path), _naming(path), closing(_connect(path)) as raw, closing(_Session(raw)) as session:
        session.migrate(path)


def current_revision(path: Path) -> str | None:
    """The schema version of this database, read while a bridge may be running on it."""
    with _naming(path), closing(_connect(path, read_only=True)) as raw, closing(_Session(raw)) as session:
        return schema.revision_of(session.sql)


def backup(path: Path, target: Path) -> None:
    """A consistent copy, taken while a bridge may be running; raises FileExistsError rather than overwrite."""
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise FileExistsError(f"{target} is there already; name a file that is not") from error
    try:
        with (
            _naming(path),
            closing(_connect(path, read_only=True)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
    except BaseException:
        target.unlink()
        raise


def library_advice() -> str | None:
    """What `doctor` says of the SQLite library that Python was built with."""
    if sqlite3.sqlite_version_info >= (3, 51, 3):
        return None
    return (
        f"SQLite {sqlite3.sqlite_version} may damage a file that two connections write or checkpoint at once "
        "(fixed in 3.51.3); the bridge uses one, so keep other writers and Litestream away from its file"
    )


class SqliteStore:
    """ports.Store on SQLite. Work given to `write` may run twice, if what shared its commit failed."""

    def __init__(self, path: Path, writer: "_Thread", reader: "_Thread") -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._waiting = _Waiting()
        self._arrived = asyncio.Event()
        self._finishing = False
        self._hooks: list[Callable[[Collection[str]], None]] = []
        self.ruined = asyncio.Event()  # set: the disk failed us, and only a new process may go on
        self.ruin = ""  # why, in one sentence
        self._task = asyncio.create_task(self._commit_what_waits(), name="store writer")

    @property
    def commits(self) -> int:
        """How many commits there were; writes that wait together share one."""
        return self._writer.session.commits

    async def write(self, fn: Callable[[Transaction], T], *, heavy: bool = False, in_turn: bool = False) -> T:
        """Run and commit. A caller that is cancelled stops waiting; its transaction is done all the same."""
        if self._finishing:
            raise NotStored("the store is closed")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.add((fn, answer), heavy=heavy, in_turn=in_turn)
        self._arrived.set()
        return await answer

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Run on a snapshot of what is committed; to write in it fails."""
        outcome = await self._reader.run(self._reader.session.read, fn)
        self._learn(self._reader.session.ruined)
        if outcome.error is not None:
            raise outcome.error
        return cast("T", outcome.result)

    def on_commit(self, hook: Callable[[Collection[str]], None]) -> None:
        self._hooks.append(hook)

    async def fold(self) -> bool:
        """Fold the log into the file, and sync it; False when a stranger who reads was in the way."""
        busy, _, _ = await self._writer.run(self._writer.session.fold)
        return not busy

    async def look_at_files(self) -> None:
        """Ruined, if they were deleted or replaced: what is written goes to files that nobody finds again."""
        self._learn(await self._writer.run(self._writer.session.look_at_files))

    async def examine(self) -> None:
        """Read the whole file, beside everything else, and be ruined if it is damaged; done at start if small."""
        if self._path.stat().st_size > _QUICKLY_READ:
            self._learn(await _examined(self._path))

    def _learn(self, ruin: str) -> None:
        if ruin and not self.ruined.is_set():
            self.ruin = ruin if str(self._path) in ruin else f"{self._path}: {ruin}"
            self.ruined.set()

    async def finish(self) -> None:
        """Take no more work, and commit what is waiting."""
        self._finishing = True
        self._arrived.set()
        await self._task

    async def _commit_what_waits(self) -> None:
        while not self._finishing or self._waiting:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._commit(self._waiting.take())

    async def _commit(self, batch: Sequence[_Request]) -> None:
        try:
            await self._run(batch)
        except Exception as error:  # the next batch is committed whatever a hook or a dead thread does
            log.exception("what was to follow a commit failed")
            for _, answer in batch:  # all have theirs by now, unless the thread is gone
                if not answer.done():
                    answer.set_exception(NotStored(f"the database's thread does not answer: {error}"))

    async def _run(self, batch: Sequence[_Request]) -> None:
        outcomes, wakes = await self._writer.run(self._writer.session.write, [work for work, _ in batch])
        self._learn(self._writer.session.ruined)
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            if answer.done():  # its caller was cancelled meanwhile
                continue
            if outcome.error is None:
                answer.set_result(outcome.result)
            else:
                answer.set_exception(outcome.error)
        for hook in self._hooks if wakes else ():
            hook(wakes)


class _Waiting:
    """What waits for its commit. What is heavy goes alone, by turns with what is not, and neither passes a border."""

    def __init__(self) -> None:
        self._lanes = deque([_Lane()])  # from one border to the next
        self._heavy_next = False

    def __bool__(self) -> bool:
        return any(lane.light or lane.heavy for lane in self._lanes)

    def add(self, request: "_Request", *, heavy: bool, in_turn: bool) -> None:
        """What is `in_turn` has a lane to itself."""
        if in_turn:
            self._lanes += [_Lane(deque([request])), _Lane()]
        else:
            lane = self._lanes[-1]
            (lane.heavy if heavy else lane.light).append(request)

    def take(self) -> list["_Request"]:
        """What shares the next commit, if anything waits."""
        while not (self._lanes[0].light or self._lanes[0].heavy):
            self._lanes.popleft()
        lane = self._lanes[0]
        if lane.heavy and (self._heavy_next or not lane.light):
            self._heavy_next = False
            return [lane.heavy.popleft()]
        self._heavy_next = bool(lane.heavy)
        return [lane.light.popleft() for _ in range(min(_BATCH, len(lane.light)))]


@dataclass(slots=True)
class _Lane:
    light: "deque[_Request]" = field(default_factory=deque)
    heavy: "deque[_Request]" = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one transaction. Without an error it is committed."""

    result: Any = None
    error: Exception | None = None


class _Session:
    """SQLAlchemy on one sqlite3 connection; lives on that connection's thread.

    We say BEGIN and COMMIT to sqlite3 ourselves: the driver would begin late, and without IMMEDIATE.
    """

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.commits = 0
        self.ruined = ""  # why nothing on this connection is to be believed any more
        self._files: dict[Path, tuple[int, int] | None] = {}
        self._raw = raw
        # hide_parameters: an error message must not carry a number or a text into the log.
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool, hide_parameters=True)
        self.sql = engine.connect()

    def migrate(self, path: Path) -> None:
        """A sound file of ours with today's tables, or an error."""
        if path.stat().st_size <= _QUICKLY_READ and (damage := _damage_in(self._raw)):
            raise Damaged(damage)
        with self._transaction("BEGIN IMMEDIATE"):
            schema.upgrade(self.sql, str(path))
            if damage := schema.lacking(self.sql):
                raise Damaged(damage)
        self._files = {file: _identity(file) for file in (path, path.with_name(path.name + "-wal"))}

    def examine(self) -> str:
        try:
            damage = _damage_in(self._raw)
        except sqlite3.Error as error:
            return _ruin(error)
        return str(Damaged(damage)) if damage else ""

    def look_at_files(self) -> str:
        """Why nobody will ever find what is written; empty while the files are those that were opened."""
        for file, identity in self._files.items():
            if _identity(file) != identity:
                self.ruined = (
                    f"{file} was deleted or replaced while it was in use; nothing more is written. "
                    "Start again, on a backup if the file is gone"
                )
        return self.ruined

    def read(self, work: Work) -> _Outcome:
        try:
            with self._transaction("BEGIN"):
                tx = SqlTransaction(self._raw)
                result = work(tx)
                tx.finish()
                return _Outcome(result)
        except Exception as error:
            self.ruined = _ruin(error)
            return _Outcome(error=_explained(error))

    def write(self, works: Sequence[Work]) -> tuple[list[_Outcome], set[str]]:
        """Run all in one commit; when one fails, each in its own, so that only the culprit pays.

        What became of each, and the ticks that those which are committed want woken.
        """
        if self.ruined or self.look_at_files():  # two looks at a folder: nothing beside the sync of a commit
            return [_Outcome(error=NotStored(self.ruined)) for _ in works], set()
        try:
            with self._transaction("BEGIN IMMEDIATE"):
                tx = SqlTransaction(self._raw)
                outcomes = [_Outcome(work(tx)) for work in works]
                tx.finish()
        except _NeverBegan as error:  # nobody's own fault: to try each alone is to wait for the lock each time
            return [_Outcome(error=_explained(error.cause)) for _ in works], set()
        except Exception as error:
            self.ruined = _ruin(error)
            if self.ruined or len(works) == 1:
                return [_Outcome(error=_explained(error)) for _ in works], set()
            alone = [self.write([work]) for work in works]
            return [outcomes[0] for outcomes, _ in alone], set().union(*(wakes for _, wakes in alone))
        return outcomes, tx.wakes

    def fold(self) -> tuple[int, int, int]:
        found: tuple[int, int, int] = self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return found

    def close(self) -> None:
        self.sql.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        try:
            self._raw.execute(begin)
        except sqlite3.Error as error:
            raise _NeverBegan(error) from error
        try:
            yield
            self._raw.execute("COMMIT")
            self.commits += 1
        except BaseException:
            if self._raw.in_transaction:  # a full disk makes SQLite roll back by itself
                self._raw.execute("ROLLBACK")
            raise


class _NeverBegan(Exception):
    """The transaction could not even begin."""

    def __init__(self, cause: sqlite3.Error) -> None:
        super().__init__(str(cause))
        self.cause = cause


# The disk did not keep what it was told to, or gave back something else. A second fsync may lie about the first,
# so nothing more is believed on this handle: the process has to end, and a new one reads what is really there.
# Read-only, or a write that fails other than for want of room: the file system has given up, and waiting is vain.
_RUIN = {
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_RESTORE = (
    "move it away with its -wal and -shm, put a backup in its place and start; if it never was the bridge's, "
    "let storage.url name another file"
)


def _ruin(error: Exception) -> str:
    """What to say when this error leaves nothing to trust; empty for all others."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if damage := _damage(cause):
        return f"this database is damaged ({damage}); {_RESTORE}"
    code = getattr(cause, "sqlite_errorcode", 0) or 0
    if {code, code & 0xFF} & _RUIN:
        return f"the disk failed the database ({cause}); nothing more is written. Look at the disk, then start again"
    return ""


def _damage(cause: BaseException | None) -> str:
    """What this error says is wrong with the file itself, without any of what is in it; empty for all others."""
    if isinstance(cause, UnicodeDecodeError):
        return "a text in it is none"
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _DAMAGE:
        return " ".join(str(cause).split())[:_SAID]  # it may quote the schema
    if isinstance(cause, sqlite3.OperationalError) and code is None and "decode" in str(cause):
        return str(cause).partition(" with text")[0]  # the rest of it is the text
    return ""


_SAID = 120  # characters of what SQLite says


class Damaged(NotStored):
    """The file is not what we wrote."""

    def __init__(self, damage: str) -> None:
        super().__init__(f"this database is damaged ({damage}); {_RESTORE}")


_QUICKLY_READ = 64 * 1024 * 1024
"""Bytes. A smaller file is examined before it is used, in less than half a second; a larger one meanwhile."""


def _damage_in(raw: sqlite3.Connection) -> str:
    """The first thing that is wrong with how this file is built; empty when it is sound."""
    (found,) = raw.execute("PRAGMA quick_check(1)").fetchone()
    return "" if found == "ok" else found.splitlines()[-1]


async def _examined(path: Path) -> str:
    """As `_damage_in`, on a thread and a connection of its own: gigabytes take seconds."""
    examiner = _Thread(lambda: _connect(path, read_only=True))
    try:
        await examiner.start()
        return await examiner.run(examiner.session.examine)
    except asyncio.CancelledError:
        if examiner.is_open:
            await examiner.interrupt()
        raise
    finally:
        await examiner.close()


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class _Thread(aiosqlite.Connection):
    """aiosqlite's connection and its thread, made to run whole functions instead of single statements.

    An awaited statement costs a hop between threads; a transaction of ours has six and more.
    """

    session: _Session

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connect, iter_chunk_size=64)

    async def start(self) -> None:
        try:
            await self
        except BaseException:
            # aiosqlite lets go of its thread here; left alone it would answer to a loop that is closed.
            await asyncio.to_thread(self._thread.join)
            raise
        self.session = await self.run(_Session, self._conn)

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        return cast("T", await self._execute(fn, *args))  # type: ignore[no-untyped-call]  # aiosqlite left it bare

    async def close(self) -> None:
        if self.is_open:
            await self.run(self.session.close)
        await super().close()


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    if read_only:
        raw = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=_LOCK_WAIT)
        raw.execute("PRAGMA query_only = ON")
        return raw
    _look_before_touching(path)
    path.touch(mode=0o600)
    path.chmod(0o600)  # SQLite gives its log and its shared memory the mode of the file
    raw = sqlite3.connect(path, isolation_level=None, timeout=_LOCK_WAIT)
    (mode,) = raw.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise OSError(f"its file system allows no write-ahead log (journal_mode {mode}); put it on a local disk")
    raw.execute("PRAGMA synchronous = FULL")  # 2xx means that it survives a power cut
    raw.execute("PRAGMA foreign_keys = ON")
    return raw


_OURS = {"alembic_version", "meta", "notification", "sequence"}


def _look_before_touching(path: Path) -> None:
    """Whatever is no database of ours is left as it is, to the last byte and to who may read it."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder; let storage.url name a file in it")
    if not path.exists() or path.stat().st_size == 0:
        return
    # Immutable: nothing is made beside it. Its log is not read either, so what the file says by itself counts
    # only where it cannot be a write that the log has whole.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as raw:
        try:
            tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except UnicodeDecodeError:  # sqlite3 could not even read what SQLite said of it
            return
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise
            return
    if tables and not tables >= _OURS:
        raise Damaged("it lacks tables of ours")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file that says: this database has its one writing process."""
    with _naming(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreBusy(
                f"{path} is in use by another sms-bridge; stop that one, or give this one a storage.url of its own"
            ) from error
        yield
    finally:
        os.close(lock)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which database could not be opened, and why."""
    try:
        yield
    except Damaged as error:
        raise NotStored(f"{path}: {error}") from error
    except (OSError, sqlite3.Error, DBAPIError, UnicodeDecodeError, _NeverBegan) as error:
        cause = error.orig if isinstance(error, DBAPIError) else getattr(error, "cause", error)
        if damage := _damage(cause):
            raise NotStored(f"{path}: {Damaged(damage)}") from error
        raise NotStored(f"{path}: cannot open this database: {_why(error)}") from error


def _why(error: Exception) -> str:
    """An OSError without its number and without the path, which the sentence names already."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


# SQLite's primary result codes for what the disk or a stranger did; the rest would be mistakes of ours.
_NOT_KEPT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_KNOWN_ALREADY = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


def _explained(error: Exception) -> Exception:
    """The same in the words of ports; what is a mistake of ours stays as it is."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, StopIteration):  # a future refuses to carry it
        return RuntimeError("a transaction raised StopIteration")
    code = getattr(cause, "sqlite_errorcode", None)
    if damage := _damage(cause):
        damaged = Damaged(damage)
        damaged.__suppress_context__ = True  # what could not be decoded stands in it
        return damaged
    if code is None:
        return error
    explained: Exception
    if code in _KNOWN_ALREADY:
        explained = Duplicate(str(cause))
    elif code & 0xFF in _NOT_KEPT:
        explained = NotStored(f"the database could not keep it: {cause}")
    else:
        return error
    explained.__cause__ = error
    return explained
