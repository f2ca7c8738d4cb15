"""Core's statements on sqlite3 itself: compiled once, values and rows translated by the types of their columns.

SQLAlchemy's own way to run a statement costs several times what SQLite needs for most of ours.
"""

import sqlite3
from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Delete, Insert, Select, Update
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.sql.compiler import SQLCompiler

Row = tuple[Any, ...]
Code = Callable[[Any], Any]
Statement = Select[*tuple[Any, ...]] | Insert | Update | Delete

_DIALECT = dialect()
_KEPT = 512  # statements; those made for one question go as newer ones come


class Sqlite:
    """Runs statements on one connection, within the transaction that somebody else began there."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def run(self, statement: Statement, **values: Any) -> sqlite3.Cursor:
        """Once; the cursor knows `rowcount` and `lastrowid`."""
        sql, cells = _prepared(statement, tuple(values)).call(tuple(values.values()))
        return self.connection.execute(sql, cells)

    def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """Every row that it gives."""
        read = _prepared(statement, tuple(values)).read
        return [read(row) for row in self.run(statement, **values).fetchall()]

    def row(self, statement: Statement, **values: Any) -> Row | None:
        """The first row that it gives."""
        found = self.rows(statement, **values)
        return found[0] if found else None

    def many(self, statement: Statement, names: tuple[str, ...], rows: Iterable[Row]) -> int:
        """Once for every row of values, which stand in the order of `names`; how many rows that changed."""
        prepared = _prepared(statement, names)
        return self.connection.executemany(prepared.sql, map(prepared.write, rows)).rowcount


class _Prepared:
    """One statement that is given values under these names."""

    def __init__(self, statement: Statement, names: tuple[str, ...]) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=list(names))
        assert isinstance(compiled, SQLCompiler)
        asked = compiled.positiontup or []
        own = [name for name in dict.fromkeys(asked) if name not in names]
        self.sql = compiled.string
        self._own = tuple(compiled.params[name] for name in own)  # the constants of the statement
        place = {name: position for position, name in enumerate((*names, *own))}
        picked = [place[name] for name in asked]
        # itemgetter gives no tuple for one item.
        self._pick: Code = itemgetter(*picked) if len(picked) > 1 else lambda given: [given[n] for n in picked]
        self._writers = _codes(compiled.binds[name].type.bind_processor(_DIALECT) for name in asked)
        lists = [name for name in asked if compiled.binds[name] in compiled.post_compile_params]
        self._lists = [(asked.index(name), f"__[POSTCOMPILE_{name}]") for name in lists]
        columns = getattr(statement, "exported_columns", ())
        self._readers = _codes(column.type.result_processor(_DIALECT, None) for column in columns)

    def write(self, given: Row) -> list[Any]:
        """These values as SQLite stores them, in the order in which the statement asks for them."""
        cells = list(self._pick((*given, *self._own)))
        for n, writer in self._writers:
            if (cell := cells[n]) is not None:
                cells[n] = writer(cell)
        return cells

    def call(self, given: Row) -> tuple[str, list[Any]]:
        """The statement and its values; each list in it becomes as many values as it has."""
        if not self._lists:
            return self.sql, self.write(given)
        sql, cells, writers = self.sql, list(self._pick((*given, *self._own))), dict(self._writers)
        for n, mark in self._lists:
            sql = sql.replace(mark, ",".join("?" * len(cells[n])), 1)
        lists = {n for n, _ in self._lists}
        every: list[Any] = []
        for n, cell in enumerate(cells):
            members, writer = cell if n in lists else (cell,), writers.get(n)
            every += members if writer is None else [None if member is None else writer(member) for member in members]
        return sql, every

    def read(self, row: Row) -> Row:
        """A row of SQLite's as values of ours."""
        if not self._readers:
            return row
        cells = list(row)
        for n, reader in self._readers:
            if (cell := cells[n]) is not None:
                cells[n] = reader(cell)
        return tuple(cells)


def _codes(codes: Iterable[Code | None]) -> list[tuple[int, Code]]:
    """Where a cell has to be translated, and how."""
    return [(n, code) for n, code in enumerate(codes) if code]


@lru_cache(maxsize=_KEPT)
def _prepared(statement: Statement, names: tuple[str, ...]) -> _Prepared:
    return _Prepared(statement, names)
