"""What a row step is: documents in, the same documents and a reason for each row that goes out.

In: a table with the columns of `DOCUMENT` (and any others, which a step passes through untouched).
Out: the table, same rows in the same order (but `filters.length`, which may split some), and one `REASON` struct a row; a null struct means "keep".

    id="a1"  text="Too short."   ->   {"reason": "word_count.min", "value": 2.0, "threshold": 50.0, "detail":
    None}

A step may raise; who runs it finds the row to blame. Nothing here reads or writes files.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

REASON = pa.struct(
    [
        ("reason", pa.string()),  # what failed, e.g. "word_count.min"
        ("value", pa.float64()),  # what was measured; null where the reason has no number
        ("threshold", pa.float64()),  # the bound that was crossed
        ("detail", pa.string()),  # anything a reader of the ledger should see, e.g. the language found
    ]
)

DOCUMENT = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.large_string()),  # null until `extract` ran, for documents that came as HTML
        ("source", pa.string()),
        ("url", pa.string()),
        ("date", pa.string()),
        ("lang", pa.string()),
        ("lang_score", pa.float64()),
        ("metadata", pa.large_string()),  # a JSON object as text, or null
        ("html", pa.large_binary()),  # the page as it was read; null for input that is text already
        ("content_type", pa.string()),  # the declared type of html, e.g. "text/html; charset=gbk"
    ]
)

Step = Callable[[pa.Table], tuple[pa.Table, pa.StructArray]]


def all_kept(n: int) -> pa.StructArray:
    """The reasons of `n` rows that all stay: `n` nulls."""
    return pa.nulls(n, REASON)


def reasons(
    n: int,
    rows: Sequence[int] | np.ndarray,
    reason: str | Sequence[str],
    value: float | Sequence[float | None] | np.ndarray | None = None,
    threshold: float | Sequence[float | None] | np.ndarray | None = None,
    detail: str | Sequence[str | None] | None = None,
) -> pa.StructArray:
    """Reasons for `n` rows: `rows` (row numbers, no doubles) go out, the others stay (null).

    `reason`, `value`, `threshold` and `detail` are each one thing for all of `rows` or one entry a row.
    """
    rows = np.asarray(rows, dtype=np.int64)
    columns = zip((reason, value, threshold, detail), REASON, strict=True)
    dense = pa.StructArray.from_arrays(
        [_spread(each, len(rows), field.type) for each, field in columns], fields=list(REASON)
    )
    where = np.full(n, -1, dtype=np.int64)
    where[rows] = np.arange(len(rows))
    return dense.take(pa.array(where, mask=where < 0))


def _spread(entries: object, n: int, kind: pa.DataType) -> pa.Array:
    """One entry repeated `n` times, or `n` entries, as an Arrow array of `kind`."""
    if entries is None or isinstance(entries, str | int | float | np.number):
        return pa.array([entries] * n, kind)
    array = pa.array(entries, kind)
    if len(array) != n:
        raise ValueError(f"reasons(): {n} rows go out, but {len(array)} entries were given for them")
    return array


def set_column(table: pa.Table, name: str, array: pa.Array | pa.ChunkedArray) -> pa.Table:
    """`table` with the column `name` replaced where it is, or appended at the end."""
    at = table.schema.get_field_index(name)
    if at < 0:
        return table.append_column(name, array)
    return table.set_column(at, name, array)
