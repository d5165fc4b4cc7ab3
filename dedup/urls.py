"""URLs in a canonical form: two that are equal by it name one page, but for servers that say otherwise.

    canonical_url("HTTP://www.Example.com:80/a/../b/%7euser/?utm_source=x&b=2&a=1#top")  ->  "example.com/b/~user?a=1&b=2"

By RFC 3986: scheme and host in lower case, hex digits of %XX in upper case (6.2.2.1), unreserved characters written
out (6.2.2.2), dot segments removed (6.2.2.3), default port and empty path (6.2.3). What is no ASCII is %XX of its UTF-8
(RFC 3987, 3.1), a host its IDNA form. By practice of crawlers, which the RFC leaves to the user: http and https are one,
no "www.", no fragment (but "#!", which named pages), no slash at the end, parameters in order, and none of those that
only follow the visitor. Not covered: session ids, mirrors, index.html, redirects, case of paths.
"""

import re
from urllib.parse import SplitResult, quote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup.columns import Column, frozen, text_buffers
from kernels.addresses import canonical
from kernels.memory import PAD

_TRACKING = re.compile(
    r"utm_\w+|gclid|gclsrc|dclid|gbraid|wbraid|fbclid|msclkid|yclid|twclid|ttclid|igshid|mc_cid|mc_eid|_ga|_gl|_hsenc|_hsmi|mkt_tok",
    re.IGNORECASE,
)
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PERCENT = re.compile("%([0-9A-Fa-f]{2})")
_KEPT = "%!$&'()*+,;=:@/?"  # what quote() leaves as it is in a path or query, besides the unreserved
_PORTS = {"http": "80", "https": "443", "ftp": "21"}


def canonical_urls(urls: Column) -> pa.Array:
    """`canonical_url` of each row as a large_string; null and empty are null.

    A kernel does the plain ones (kernels/addresses.py), 0.1 us each; the others, some 10 us each, are done one by one.
    """
    chunks = urls.chunks if isinstance(urls, pa.ChunkedArray) else [urls]
    found = [_canonical_chunk(chunk) for chunk in chunks if len(chunk)]
    return pa.concat_arrays(found) if found else pa.array([], pa.large_string())


def _canonical_chunk(urls: pa.Array) -> pa.Array:
    offsets, data = next(text_buffers(urls))
    out, ends, plain = canonical(offsets, padded(data[: offsets[-1]]))
    starts = np.append(np.int64(0), ends)
    forms = pa.Array.from_buffers(pa.large_string(), len(ends), [None, pa.py_buffer(starts), pa.py_buffer(out)])
    rows = np.flatnonzero(~plain)
    if not len(rows):
        return forms
    others = [canonical_url(url) if url else None for url in urls.take(pa.array(rows)).to_pylist()]
    return pc.replace_with_mask(forms, pa.array(~plain), pa.array(others, pa.large_string()))


def padded(data: np.ndarray) -> np.ndarray:
    """A copy of the bytes with those behind them that kernels may read."""
    return frozen(np.append(data, np.zeros(PAD, np.uint8)), np.uint8)


def canonical_url(url: str) -> str | None:
    """The canonical form of a URL, without its scheme if that is http or https; None of an empty one. What is no URL
    with a host comes back stripped of white space."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        host = _host(parts)
    except ValueError:
        return url or None
    if not host:
        return url or None
    scheme = "" if parts.scheme in ("http", "https", "") else f"{parts.scheme}://"
    path = _escaped(_without_dots(parts.path)).rstrip("/")
    query = _query(parts.query)
    mark = f"#{parts.fragment}" if parts.fragment.startswith("!") else ""
    return f"{scheme}{host}{path}{query}{mark}"


def _host(parts: SplitResult) -> str:
    """Host and port, and who asks (user:password@) as it is."""
    user, at, address = parts.netloc.rpartition("@")
    name, colon, port = address.rpartition(":")
    if not colon or not (port.isdecimal() or not port):
        name, port = address, ""
    name = name.lower().rstrip(".").removeprefix("www.")
    if not name.isascii():
        name = name.encode("idna").decode()
    keep = port and port != _PORTS.get(parts.scheme)
    return f"{user}{at}{name}{':' + port if keep else ''}" if name else ""


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4."""
    if "." not in path:
        return path
    found: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del found[max(1, len(found) - 1) :]
        elif part != ".":
            found.append(part)
    return "/".join(found) + ("/" if path.endswith(("/.", "/..")) else "")


def _escaped(text: str) -> str:
    """One spelling of %XX: unreserved characters written out, all others in upper case."""
    if text.isascii() and "%" not in text and " " not in text:
        return text
    return _PERCENT.sub(_one_escape, quote(text, safe=_KEPT))


def _one_escape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else f"%{found[1].upper()}"


def _query(query: str) -> str:
    parameters = [p for p in query.split("&") if p and not _TRACKING.fullmatch(p.partition("=")[0])]
    return "?" + "&".join(sorted(map(_escaped, parameters))) if parameters else ""
