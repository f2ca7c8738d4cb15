"""A prepared statement says what SQLAlchemy would have said."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import (
    BindParameter,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    literal,
    select,
    update,
)

from bridge.domain.notification import State
from storage.prepared import Sqlite, Statement
from storage.tables import Instant, Word
from tests.storage.values import NOW

thing = Table(
    "thing",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", Text),
    Column("state", Word(State)),
    Column("at", Instant),
)
ROWS = [(1, "a", State.PLANNED, NOW), (2, "b", State.SENDING, None), (3, None, None, NOW)]
NAMES = tuple(column.name for column in thing.c)
_ids: BindParameter[Any] = bindparam("ids", expanding=True)
_states: BindParameter[Any] = bindparam("states", expanding=True)


@pytest.fixture
def db() -> Iterator[Sqlite]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT, state TEXT, at INTEGER)")
        db = Sqlite(connection)
        assert db.many(insert(thing), NAMES, ROWS) == len(ROWS)
        yield db


@pytest.mark.parametrize(
    ("statement", "values", "ids"),
    [
        (select(thing.c.id), {}, [1, 2, 3]),
        (select(thing.c.id).where(thing.c.id.in_(_ids)), {"ids": [1, 3]}, [1, 3]),
        (select(thing.c.id).where(thing.c.id.in_(_ids)), {"ids": []}, []),
        (select(thing.c.id).where(thing.c.id.not_in(_ids)), {"ids": {1: "keys count"}}, [2, 3]),
        (select(thing.c.id).where(thing.c.state.in_(_states)), {"states": [State.SENDING]}, [2]),
        (select(thing.c.id).where(thing.c.state.in_([State.SENDING, State.PLANNED])), {}, [1, 2]),
        (
            select(thing.c.id).where(thing.c.id.in_(_ids), thing.c.at == bindparam("now"), thing.c.state.in_(_states)),
            {"now": NOW, "states": [State.PLANNED, State.SENDING], "ids": [1, 2, 3]},
            [1],
        ),
        (select(thing.c.id).order_by(thing.c.id.desc()).limit(bindparam("limit")), {"limit": 2}, [3, 2]),
        (select(thing.c.id).where(thing.c.name.is_not_distinct_from(bindparam("name"))), {"name": None}, [3]),
        (select(literal(7)).where(bindparam("one") == bindparam("other")), {"other": 1, "one": 1}, [7]),
    ],
)
def test_questions(db: Sqlite, statement: Statement, values: dict[str, Any], ids: list[int]) -> None:
    assert [row[0] for row in db.rows(statement, **values)] == ids
    assert db.row(statement, **values) == ((ids[0],) if ids else None)


def test_values_come_back_as_they_went(db: Sqlite) -> None:
    assert db.rows(select(thing)) == ROWS
    ((stored,),) = db.connection.execute("SELECT at FROM thing WHERE id = 1")
    assert isinstance(stored, int)


def test_changes_are_counted_and_new_rows_numbered(db: Sqlite) -> None:
    named: BindParameter[Any] = bindparam("named")
    assert db.run(update(thing).where(thing.c.name == named).values(name="c"), named="b").rowcount == 1
    assert db.run(update(thing).where(thing.c.id == bindparam("row_id")), row_id=1, name="c", at=None).rowcount == 1
    assert db.run(delete(thing).where(thing.c.name == named), named="c").rowcount == 2
    assert db.run(insert(thing), name="d").lastrowid == 4
    assert db.many(insert(thing), NAMES, []) == 0


def test_one_statement_is_prepared_for_what_it_is_given(db: Sqlite) -> None:
    """An update sets the columns that it has values for, whatever it was given the time before."""
    change = update(thing).where(thing.c.id == bindparam("row_id"))
    db.run(change, row_id=2, name="x")
    db.run(change, row_id=2, at=NOW)
    db.run(change, at=None, row_id=1)
    assert db.rows(select(thing).where(thing.c.id < 3)) == [
        (1, "a", State.PLANNED, None),
        (2, "x", State.SENDING, NOW),
    ]
