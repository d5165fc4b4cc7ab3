"""Databases: the rows of a query or table.

    input: {paths: "sqlite:///data/pages.db", table: pages, text: body, partition: id, partitions: 8}

SQLite through Python's own module; other databases through SQLAlchemy and their driver, where these are installed. With
`partition`, a column of whole numbers, the table is read by that many tasks: ranges of equal width between its least and
greatest value, as they are when the run begins; rows where it is null belong to the first. Rows come in the order of the
partition's column; without one in the order that the query gives, so give an ORDER BY if the order matters. `${NAME}` in
the address is taken from the environment when the database is opened, so that no password stands in recipe or manifest.
Not covered: changes while the run goes on (read from a snapshot).
"""

from __future__ import annotations

import itertools
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filters.registry import nearest
from pipeline.errors import InputError, StorageError, first_line
from pipeline.files import storage
from pipeline.readers.rows import Batch, Rows

FETCHED = 256  # rows asked of the database at once
PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")
SQLITE = "sqlite:///"
COLON = re.compile(r"(?<![:\\]):(?=\w)(?!(?:low|high)\b)")  # one that is no value of ours, such as in '12:30'


def shards(path: str, entry: Any) -> list[dict[str, Any]]:
    """The parts of one database's query, or the one shard. Errors: InputError.

    `part` is [first, last + 1] of the partition's values; None at an end that is open.
    """
    if (entry.query is None) == (entry.table is None):
        raise InputError(f"{shown(path)}: give either table: NAME or query: SELECT ..., and not both.")
    if (entry.partition is None) != (entry.partitions is None):
        raise InputError(f"{shown(path)}: partition: COLUMN and partitions: N go together.")
    size, version = 0, ""
    if path.startswith(SQLITE):
        file = storage.stat(os.path.abspath(path.removeprefix(SQLITE)))
        path, size, version = SQLITE + file.path, file.size, file.version
    base = {"path": path, "name": shown(path), "version": version, "source": entry.table or "query"}
    with _connection(path) as connection:
        names = _names(connection, path, entry.query, entry.table)
        _check(path, names, entry)
        if entry.partition is None:
            return [base | {"size": size}]
        low, high = _bounds(connection, path, entry)
    count = entry.partitions
    edges = [low + (high - low + 1) * i // count for i in range(count + 1)]
    parts = [[a, b] for a, b in itertools.pairwise(edges) if a < b]
    parts[0][0] = None  # with null, and what is smaller by now
    parts[-1][1] = None
    return [
        base | {"name": f"{shown(path)}#{i}", "size": size // len(parts), "part": part} for i, part in enumerate(parts)
    ]


def read(path: str, rows: Rows) -> Iterator[Batch]:
    """The rows of the query, or of `rows.part` of it. Errors: InputError, StorageError."""
    options = rows.options
    with _connection(path) as connection:
        cursor, names = _execute(
            connection, path, *_statement(options.query, options.table, options.partition, rows.part)
        )
        while found := _fetch(cursor, path):
            for values in found:
                rows.add(dict(zip(names, values)))
                yield from rows.ready()


def shown(path: str) -> str:
    """The address without its password."""
    return PASSWORD.sub(r"\1:***@", path)


def _statement(query: str | None, table: str | None, partition: str | None, part: Any) -> tuple[str, dict[str, Any]]:
    """The query of a part, and its values."""
    text = f"SELECT * FROM ({query}) AS part" if query and partition else query or f"SELECT * FROM {_quoted(table)}"
    if partition is None or part is None:
        return text, {}
    column = _quoted(partition)
    low, high = part
    tests = ([f"{column} >= :low"] if low is not None else []) + ([f"{column} < :high"] if high is not None else [])
    test = " AND ".join(tests) or "1 = 1"
    if low is None:
        test = f"({test}) OR {column} IS NULL"
    values = {"low": low, "high": high}
    return f"{text} WHERE {test} ORDER BY {column}", {k: v for k, v in values.items() if v is not None}


def _quoted(name: str | None) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in (name or "").split("."))


def _check(path: str, names: list[str], entry: Any) -> None:
    wanted = None if entry.layout else entry.html or entry.text
    for column, key in ((wanted, "text"), (entry.partition, "partition")):
        if column is not None and column not in names:
            raise InputError(
                f"{shown(path)}: the {'table' if entry.table else 'query'} has no column {column!r}{nearest(column, names)} "
                f"(it has {', '.join(names[:20])}). Name the right one: input: {{{key}: COLUMN}}."
            )


def _bounds(connection: Any, path: str, entry: Any) -> tuple[int, int]:
    column = _quoted(entry.partition)
    inner = f"({entry.query}) AS part" if entry.query else _quoted(entry.table)
    cursor, _ = _execute(connection, path, f"SELECT MIN({column}), MAX({column}) FROM {inner}", {})
    low, high = _fetch(cursor, path)[0]
    if low is None:
        return 0, 0
    if type(low) is not int or type(high) is not int:
        raise InputError(f"{shown(path)}: partition column {entry.partition!r} holds {low!r}, expected whole numbers.")
    return low, high


def _names(connection: Any, path: str, query: str | None, table: str | None) -> list[str]:
    text = f"SELECT * FROM ({query}) AS part WHERE 1 = 0" if query else f"SELECT * FROM {_quoted(table)} WHERE 1 = 0"
    try:
        return _execute(connection, path, text, {})[1]
    except InputError as error:
        tables = _tables(connection)
        if table is None or "." in table or table in tables or not tables:
            raise
        raise InputError(
            f"{shown(path)}: there is no table {table!r}{nearest(table, tables)} (it has {', '.join(sorted(tables)[:20])})"
        ) from error


def _tables(connection: Any) -> list[str]:
    """Tables and views, as far as the database tells them."""
    if isinstance(connection, sqlite3.Connection):
        try:
            return [
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
            ]
        except sqlite3.Error:
            return []
    import sqlalchemy

    try:
        connection.rollback()  # of the query that was refused: until then PostgreSQL refuses all others
        found = sqlalchemy.inspect(connection)
        return [*found.get_table_names(), *found.get_view_names()]
    except sqlalchemy.exc.SQLAlchemyError:
        return []


# ---- the two ways to a database


@contextmanager
def _connection(path: str) -> Iterator[Any]:
    """An open connection: of sqlite3, or of SQLAlchemy."""
    if path.startswith(SQLITE):
        file = path.removeprefix(SQLITE)
        storage.stat(file)
        connection = sqlite3.connect(f"file:{_escaped(file)}?mode=ro", uri=True)
        connection.text_factory = _text
        try:
            yield connection
        finally:
            connection.close()
        return
    try:
        import sqlalchemy
    except ImportError:
        raise InputError(
            f"{shown(path)}: databases other than SQLite are read through SQLAlchemy. "
            "Install it and the database's driver: pip install 'gristmill[sql]'."
        ) from None
    try:
        engine = sqlalchemy.create_engine(os.path.expandvars(path))
        with engine.connect() as opened:
            yield opened.execution_options(stream_results=True)
    except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError, ImportError) as error:
        raise InputError(f"{shown(path)}: cannot be opened: {error}. Is its driver installed?") from None
    except sqlalchemy.exc.OperationalError as error:
        raise StorageError(f"{shown(path)}: the database did not answer: {first_line(error.orig or error)}") from None


def _escaped(file: str) -> str:
    return file.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _text(value: bytes) -> str | bytes:
    """Text of SQLite that is not UTF-8 stays bytes, so that its own row is quarantined and not the table."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _execute(connection: Any, path: str, statement: str, values: dict[str, Any]) -> tuple[Any, list[str]]:
    """(cursor, names of its columns)."""
    if isinstance(connection, sqlite3.Connection):
        try:
            cursor = connection.execute(statement, values)
        except sqlite3.Error as error:
            raise InputError(
                f"{shown(path)}: the database refuses the query: {error}. The query: {statement[:300]}"
            ) from None
        return cursor, [column[0] for column in cursor.description or ()]
    import sqlalchemy

    try:
        result = connection.execute(sqlalchemy.text(COLON.sub(r"\:", statement)), values)
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        raise InputError(
            f"{shown(path)}: the database refuses the query: {first_line(reason)}. The query: {statement[:300]}"
        ) from None
    return result, list(result.keys())


def _fetch(cursor: Any, path: str) -> list[Any]:
    try:
        return list(cursor.fetchmany(FETCHED))
    except Exception as error:  # each driver has its own
        raise StorageError(f"{shown(path)}: the database broke off: {type(error).__name__}: {error}") from error
