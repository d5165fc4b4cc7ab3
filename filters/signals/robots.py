"""What a page's robots rules ask for, as signals: 1.0 if they have the directive, else 0.0.

    metadata='{"robots":["noai"],"x_robots_tag":"unavailable_after: 25 Jun 2030, noindex"}'
    ->  robots_noai=1.0  robots_noindex=1.0  robots_nofollow=0.0  robots_noarchive=0.0

They look at the record's metadata, not at its text: `robots` (of `<meta>`, from `extract: {metadata: true}` or a WAT file) and
`x_robots_tag` (of the HTTP header, from a WARC or WAT file). A record without either asks for nothing. "none" is noindex and
nofollow. To drop such pages while they are read, or before their text is looked for: `refuse` of extract and of wat.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pyarrow.compute as pc

from filters.page_metadata import directives
from filters.registry import signal
from filters.texts import Texts

SOURCE = "Google, robots meta tag and X-Robots-Tag specifications; noai: DeviantArt 2022"
NONE = frozenset({"noindex", "nofollow"})  # what "none" stands for


def _asked(texts: Texts) -> list[frozenset[str]]:
    """The directives for each text. Only metadata with one of the two fields is parsed."""
    asked = [frozenset[str]()] * len(texts)
    if texts.metadata is None:
        return asked
    named = pc.fill_null(pc.match_substring(texts.metadata, "robots"), False)
    for row in np.flatnonzero(np.asarray(named)).tolist():
        asked[row] = _directives(texts.metadata[row].as_py())
    return asked


def _directives(metadata: str) -> frozenset[str]:
    try:
        fields: Any = orjson.loads(metadata)
    except orjson.JSONDecodeError:
        return frozenset()
    if not isinstance(fields, dict):
        return frozenset()
    rules, header = fields.get("robots"), fields.get("x_robots_tag")
    asked = directives(
        *[each for each in (*(rules if isinstance(rules, list) else [rules]), header) if isinstance(each, str)]
    )
    return frozenset(asked) | (NONE if "none" in asked else frozenset())


def _register(directive: str, by: str) -> None:
    def asks(texts: Texts) -> np.ndarray:
        return np.array([directive in asked for asked in texts.once(_asked)], np.float64)

    asks.__name__ = f"robots_{directive}"
    asks.__doc__ = f"1 if the page's robots rules say {by}."
    signal(family="robots", source=SOURCE)(asks)


for _directive in ("noai", "noindex", "nofollow", "noarchive"):
    _register(_directive, f"{_directive} or none" if _directive in NONE else _directive)
