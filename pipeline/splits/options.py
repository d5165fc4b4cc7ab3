"""`output: {split: ...}`: what may be asked for, and what it resolves to.

    split: {train: 0.98, validation: 0.01, test: 0.01}
    split: {train: rest, test: 1000 documents, by: [domain, metadata.author]}
    split: {train: {before: 2024-01-01}, test: {after: 2024-01-01}, undated: drop}
    split: {folds: 5, stratify: [lang, source]}

A side is a share, a number of documents, or a time. Times are dealt first, then numbers; shares are of what is left, and
so are folds. `options` makes plain JSON of it, which travels with the job.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from filters.registry import nearest
from pipeline.refining.dates import moment

REST = "rest"
TAKEN = ("rejected", "removed", "quarantine", "documents", "labels", "index")
COLUMNS = ("cluster", "domain", "host", "url", "source", "lang", "date", "id")
"""What `by` and `stratify` know besides the fields of metadata."""

_SIDE = "a side is a share (0.01, rest), a number of documents (1000, or 1000 documents), or a time ({before: 2024-01-01}, {after: ...}, both)"


class _Stranger:
    """The value of a key that is no side and looks like an option; shown as the value."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self._value = name, value

    def __repr__(self) -> str:
        return repr(self._value)


def _side(given: Any) -> Any:
    """A float (share), an int (documents) or {"after": text, "before": text}."""
    if isinstance(given, _Stranger):
        raise ValueError(f"there is no option '{given.name}'{nearest(given.name, OPTIONS)}; {_SIDE}")
    if isinstance(given, dict) and given and set(given) <= {"before", "after"}:
        for word, date in given.items():
            if not isinstance(date, str) or moment(date) is None:
                raise ValueError(f"'{word}' is {date!r}; expected a date such as 2024-01-01 or 2024-01-01T12:00:00Z")
        start, end = (moment(given[word]) if word in given else None for word in ("after", "before"))
        if start is not None and end is not None and start >= end:
            raise ValueError(f"no time is after {given['after']} and before {given['before']}")
        return given
    if given == REST:
        return 1.0
    if isinstance(given, str) and (found := re.fullmatch(r"([0-9][0-9_,]*) documents?", given.strip())):
        given = int(re.sub("[_,]", "", found[1]))
        if given:
            return given
    elif isinstance(given, int) and not isinstance(given, bool) and given > 1:
        return given
    elif isinstance(given, (int, float)) and not isinstance(given, bool) and 0 < given <= 1:
        return float(given)
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        raise ValueError(f"a share must lie above 0 and not above 1, a number of documents is whole; {_SIDE}")
    known = ("before", "after") if isinstance(given, dict) else (REST,)
    wrong = next((str(key) for key in given if key not in known), "") if isinstance(given, dict) else str(given)
    raise ValueError(f"{_SIDE}{nearest(wrong, known)}")


def _column(name: str) -> str:
    """The name of a column, or metadata.FIELD."""
    if name in COLUMNS or re.fullmatch(r"metadata\.[^.].*", name):
        return name
    close = nearest(name, COLUMNS)
    if close or not name or name == "metadata":
        raise ValueError(
            f"got {name!r}{close} (known: {', '.join(COLUMNS)}, metadata.FIELD; for a field of that name write metadata.{name})"
        )
    return f"metadata.{name}"


def _columns(given: Any) -> Any:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError("expected a column or a list of columns")
    found = [_column(name) for name in names]
    if len(set(found)) < len(found):
        raise ValueError("each column once")
    return found


def _strata(given: Any) -> Any:
    found = _columns(given)
    if "cluster" in found:
        raise ValueError("strata are made of columns; 'cluster' is none")
    return found


Side = Annotated[Any, BeforeValidator(_side)]
By = Annotated[list[str], BeforeValidator(_columns)]
Strata = Annotated[list[str], BeforeValidator(_strata)]


class Split(BaseModel):
    """Sides by name, and how documents are dealt to them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sides: dict[str, Side] = Field(default_factory=dict)
    by: By = Field(default_factory=lambda: ["cluster"])
    stratify: Strata | None = None
    folds: int | None = Field(default=None, ge=2, le=1000)
    urls: Literal["together", "apart"] = "together"
    undated: str = "drop"
    spanning: Literal["drop", "earliest"] = "drop"

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise ValueError("expected names of sides with their shares, such as {train: 0.98, test: 0.02}")
        sides = {name: _looked_at(name, side) for name, side in given.items() if name not in OPTIONS}
        return {"sides": sides, **{name: value for name, value in given.items() if name in OPTIONS}}

    @model_validator(mode="after")
    def _whole(self) -> Split:
        for name in self.sides:
            _check_name(name)
        _check_shares(self)
        _check_times(self)
        if self.stratify and any(_is_count(side) for side in self.sides.values()):
            raise ValueError("stratify keeps shares; give the side a share instead of a number of documents")
        return self


OPTIONS = tuple(name for name in Split.model_fields if name != "sides")


def _looked_at(name: str, side: Any) -> Any:
    """The side, or a stranger where the name must have been meant for an option."""
    told = isinstance(side, list) or (isinstance(side, str) and side != REST and " document" not in side)
    # nearer than for a typing error in a known place: `train` and `holdout` are names, too
    meant = difflib.get_close_matches(name, OPTIONS, n=1, cutoff=0.75)
    return _Stranger(name, side) if (told or _is_count(side)) and meant else side


def _is_count(side: Any) -> bool:
    return isinstance(side, int) and not isinstance(side, bool)


def _is_time(side: Any) -> bool:
    return isinstance(side, dict)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in TAKEN:
        raise ValueError(f"'{name}' cannot be a split's name (letters, digits and _; not {', '.join(TAKEN)})")


def _check_shares(split: Split) -> None:
    shares = [side for side in split.sides.values() if isinstance(side, float)]
    total = sum(shares)
    if split.folds:
        clash = next((name for name in split.sides if re.fullmatch(r"fold_\d+", name)), None)
        if clash:
            raise ValueError(f"'{clash}' is what folds are called; give the side another name")
        if total >= 1:
            raise ValueError(f"the shares leave nothing for the folds; these add up to {total:g}")
    elif shares and not math.isclose(total, 1.0, abs_tol=1e-9):
        raise ValueError(f"the shares must add up to 1; these add up to {total:g}")
    elif not shares and not any(_is_time(side) for side in split.sides.values()):
        raise ValueError("where do all other documents go? Give a side a share, such as {train: rest}")


def _check_times(split: Split) -> None:
    times = {name: side for name, side in split.sides.items() if _is_time(side)}
    names = sorted(times, key=lambda name: _start(times[name]))
    for first, second in itertools.pairwise(names):
        end = moment(times[first]["before"]) if "before" in times[first] else None
        if end is None or end > _start(times[second]):
            raise ValueError(f"the times of '{first}' and '{second}' overlap")
    counts = [name for name, side in split.sides.items() if _is_count(side)]
    shares = any(isinstance(side, float) for side in split.sides.values()) or split.folds
    if counts and not shares:
        raise ValueError(
            f"'{counts[0]}' takes its documents of what no time takes; add a share, such as {{train: rest}}"
        )
    if times and not shares and split.stratify:
        raise ValueError("stratify keeps shares, and here are only times")
    allowed = ("drop", *([REST] if shares else []), *times)
    if split.undated not in allowed:
        raise ValueError(
            f"undated is '{split.undated}'; expected {', '.join(allowed)}{nearest(split.undated, allowed)}"
        )
    if not times and {"undated", "spanning"} & split.model_fields_set:
        raise ValueError("undated and spanning speak of times, and no side has one")


def _start(side: dict[str, str]) -> float:
    start = moment(side["after"]) if "after" in side else None
    return -math.inf if start is None else start


# -- resolved --------------------------------------------------------------------------------------


def options(split: Split) -> dict[str, Any]:
    """What stages read, as plain JSON: "splits" (names), "shares" (of what times and numbers leave; 0 for those), "main" (number of
    the split that all others are compared with) and "split", the rest."""
    sides: dict[str, Any] = dict(split.sides)
    left = 1.0 - sum(side for side in sides.values() if isinstance(side, float))
    sides |= {f"fold_{number}": left / (split.folds or 1) for number in range(split.folds or 0)}
    names = list(sides)
    shares = [side if isinstance(side, float) else 0.0 for side in sides.values()]
    times = [[names.index(name), *_bounds(side)] for name, side in sides.items() if _is_time(side)]
    undated = {"drop": None, REST: -1}.get(split.undated, -1)
    more = {
        "by": [name for name in split.by if name != "cluster"],
        "stratify": split.stratify or [],
        "urls": split.urls == "together" and len(names) > 1,
        "folds": split.folds or 0,
        "counts": [[names.index(name), side] for name, side in sides.items() if _is_count(side)],
        "times": times,
        "undated": names.index(split.undated) if split.undated in names else undated,
        "spanning": split.spanning,
    }
    return {"splits": names, "shares": shares, "main": _main(shares, times), "split": more}


def _bounds(side: dict[str, str]) -> list[int | None]:
    return [moment(side[word]) if word in side else None for word in ("after", "before")]


def _main(shares: list[float], times: list[list[Any]]) -> int:
    """The largest share; of times the earliest, which is what is trained on."""
    if max(shares) > 0:
        return int(np.argmax(shares))
    return int(min(times, key=lambda time: -math.inf if time[1] is None else time[1])[0])


def of_documents(publish: dict[str, Any], parts: bool = False) -> dict[str, Any] | None:
    """The part that refine depends on: columns, times and whether texts are split into `parts`; None where there is one split."""
    if len(publish["splits"]) < 2:
        return None
    more = publish["split"]
    told: dict[str, Any] = {name: more[name] for name in ("by", "stratify", "urls", "times", "undated")}
    return told | {"rest": max(publish["shares"]) > 0, "parts": parts}


# -- told ------------------------------------------------------------------------------------------


def asked_for(publish: dict[str, Any]) -> dict[str, Any]:
    """Each side's share, number or "by time"."""
    more, names = publish["split"], publish["splits"]
    asked: dict[str, Any] = {name: share for name, share in zip(names, publish["shares"]) if share}
    asked |= {names[number]: f"{count} documents" for number, count in more["counts"]}
    asked |= {names[number]: "by time" for number, *_ in more["times"]}
    return {name: asked[name] for name in names if name in asked}  # a sample leaves numbers out


def split_text(publish: dict[str, Any]) -> list[str]:
    """The split as lines for `plan`."""
    more = publish["split"]
    sides = ", ".join(
        f"{name} {side:g}" if isinstance(side, float) else f"{name} {side}" for name, side in asked_for(publish).items()
    )
    told = [f"stratified by {', '.join(more['stratify'])}"] if more["stratify"] else []
    lines = ["; ".join([sides, *told])]
    if more["by"]:
        lines.append(
            f"by {', '.join(more['by'])}: what shares one, a near-duplicate cluster{' or a URL' * more['urls']} stands on one side, and so on from each"
        )
        lines.append(
            "to the next; that can chain most of a corpus together. 'preview' and the end of a run tell the largest such set."
        )
    return lines
