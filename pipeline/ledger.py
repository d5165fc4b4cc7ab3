"""The account: what was read is kept, rejected with a reason, or quarantined; nothing else can happen to it.

{"read": 1000, "kept": 700, "quarantined": 2, "rejected": {"03.keep.language": {"language": 250}, "04.keep.fineweb": {"short_line_ratio.max": 48}}}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from filters.length import PART_OF

REJECTED = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("duplicate_of", pa.string()),
        ("similarity", pa.float64()),
        ("cluster", pa.string()),
        ("detail", pa.string()),
        ("shard", pa.string()),
        ("record", pa.int64()),
    ]
)

EARLIER = "in the earlier corpus "
"""How the detail of a removed duplicate begins whose keeper is not in this corpus."""

KEPT = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("date", pa.string()),
        ("lang", pa.string()),
        ("lang_score", pa.float64()),
        ("metadata", pa.large_string()),
    ]
)


def signal_type(names: list[str]) -> pa.DataType:
    return pa.struct([(name, pa.float64()) for name in names])


def kept_schema(signals: list[str], chat: bool = False, label: bool = False, parts: bool = False) -> pa.Schema:
    """Columns of a kept record; `signals` is a struct column where the recipe asks for any, `conversation` there is where
    it reads conversations (`chat`), `label` where it has labels, `part_of` where it splits long texts (`parts`)."""
    schema = KEPT.append(pa.field("conversation", pa.large_string())) if chat else KEPT
    schema = schema.append(pa.field("label", pa.string())) if label else schema
    schema = schema.append(pa.field(PART_OF, pa.string())) if parts else schema
    return schema.append(pa.field("signals", signal_type(signals))) if signals else schema


def rejected_schema(signals: list[str], with_text: bool) -> pa.Schema:
    """Columns of a rejected row."""
    schema = REJECTED
    if with_text:
        schema = schema.append(pa.field("text", pa.large_string()))
    return schema.append(pa.field("signals", signal_type(signals))) if signals else schema


def new_account() -> dict[str, Any]:
    return {"read": 0, "kept": 0, "quarantined": 0, "rejected": {}}


def count_rejects(account: dict[str, Any], step: str, reasons: Iterable[str]) -> None:
    """Adds rejects of one step to the account, by reason."""
    for reason, n in Counter(reasons).items():
        at = account["rejected"].setdefault(step, {})
        at[reason] = at.get(reason, 0) + n


def rejected_total(account: dict[str, Any]) -> int:
    return sum(sum(by_reason.values()) for by_reason in account["rejected"].values())


def add(total: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """`total` with `part` added in, in place."""
    for key in ("read", "kept", "quarantined"):
        total[key] += part[key]
    for step, by_reason in part["rejected"].items():
        at = total["rejected"].setdefault(step, {})
        for reason, n in by_reason.items():
            at[reason] = at.get(reason, 0) + n
    return total


def assert_balanced(account: dict[str, Any], what: str) -> None:
    """Raises AssertionError unless read = kept + rejected + quarantined."""
    rejected = rejected_total(account)
    if account["read"] != account["kept"] + rejected + account["quarantined"]:
        raise AssertionError(
            f"the account of {what} does not balance: read {account['read']}, kept {account['kept']}, "
            f"rejected {rejected}, quarantined {account['quarantined']}"
        )
