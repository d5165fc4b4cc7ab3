"""`input: {wat: ...}`: what WAT files add to the documents of WARC and WET files; see docs/wat.md.

wat: true                                       the file beside each, all fields
wat: crawl/wat/*.warc.wat.gz                    these files
wat: {fields: [title, robots], refuse: [noai]}  some fields; pages whose robots rules say so go out
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from filters.page_metadata import OPT_OUT
from filters.registry import nearest
from pipeline.readers.wat_fields import FIELDS


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_one_or_many)]


class Wat(BaseModel):
    """No paths: the files are found by their names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paths: Texts = Field(default_factory=list)
    fields: Texts = Field(default_factory=lambda: list(FIELDS))
    refuse: Texts = Field(default_factory=list)

    @field_validator("fields", "refuse")
    @classmethod
    def _known(cls, names: list[str], info: ValidationInfo) -> list[str]:
        known, what = (OPT_OUT, "directive") if info.field_name == "refuse" else (FIELDS, "field")
        for name in names:
            if name not in known:
                raise ValueError(f"there is no {what} {name!r}{nearest(name, known)} (known: {', '.join(known)})")
        return names


def as_wat(value: Any) -> Any:
    """`true`, a path or a list of them as the mapping that they stand for; false is none."""
    if isinstance(value, bool):
        return {} if value else None
    return {"paths": value} if isinstance(value, str | list) else value


def as_written(value: Any) -> Any:
    """The recipe's `wat` without its paths: where the files lie changes no document."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key != "paths"}
    return True if isinstance(value, str | list) else value
