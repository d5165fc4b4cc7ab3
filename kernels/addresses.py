"""URLs in a column: the canonical form of the plain ones, which entries of a list they meet, the words in them.

    canonical    "HTTPS://www.Example.com/a/#top"  ->  "example.com/a"; what is not plain is told, for dedup/urls.py to do
    find_listed  "a.example.com/b/c"  is met by the entries "a.example.com", "example.com", "a.example.com/b", ...
    url_words    "example.com/My-page%20one"  ->  the hashes of example, com, my, page, one

Plain is what begins with http:// or https:// and is printable ASCII without an escape, a query, a port, a user or a dot
segment. Addresses are the canonical ones from then on.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from kernels.compile import kernel, part
from kernels.hashes import hash_bytes
from kernels.lookup import directory
from kernels.marks import as_bytes, says
from kernels.memory import get, int64, pointer, put

LONGEST_HOST = 255  # bytes; DNS has no longer name (RFC 1035, 2.3.4), so what is longer has no parent domains
MOST_PREFIXES = 64  # paths of more parts are met by their first 64 and by the whole
_SLASH, _DOT, _COLON, _AT, _HASH, _QUERY, _PERCENT, _OPEN, _CLOSE = 47, 46, 58, 64, 35, 63, 37, 91, 93
_SCHEME = as_bytes("http")
_WWW = as_bytes("www.")


def canonical(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bytes uint8, ends int64 (n,), plain bool (n,)): the canonical forms one after another; an empty one where a URL is
    not plain. The urls are data[offsets[i]:offsets[i + 1]]."""
    out = np.empty(max(int(offsets[-1] - offsets[0]), 1), np.uint8)
    ends = np.empty(len(offsets) - 1, np.int64)
    plain = np.zeros(len(offsets) - 1, np.bool_)
    _canonical_column(offsets, data, out, ends, plain)
    return out, ends, plain


@kernel
def _canonical_column(offsets, data, out, ends, plain):
    at = 0
    for row in range(len(ends)):
        end = _canonical_one(pointer(data), offsets[row], offsets[row + 1], pointer(out), at)
        plain[row] = end >= 0
        at = end if end >= 0 else at
        ends[row] = at


@part
def _canonical_one(data, start, end, out, at):
    """Writes the canonical form at `at`; where it ends, -1 for a URL that is not plain."""
    start = _behind_scheme(data, start, end)
    if start < 0:
        return -1
    begin = at
    path = 0  # where the path begins in `out`
    last = 0
    for place in range(start, end):
        byte = get(data, place)
        if byte <= 32 or byte >= 127 or byte in (_PERCENT, _QUERY):
            return -1
        if byte == _HASH:
            if place + 1 < end and get(data, place + 1) == 33:
                return -1
            break
        if not path:
            if byte == _SLASH:
                begin, at = _mended_host(out, begin, at)
                if begin == at:
                    return -1
                path = at + 1
            elif byte in (_COLON, _AT, _OPEN, _CLOSE):
                return -1
            elif 65 <= byte <= 90:
                byte += 32
        elif byte == _DOT and last == _SLASH:
            return -1
        put(out, at, byte)
        at += 1
        last = byte
    return _finished(data, out, begin, at, path, start, end)


@part
def _finished(data, out, begin, at, path, start, end):
    """The end of the form: without slashes behind the path; -1 for an empty host, or a fragment that is not plain."""
    if not path:
        begin, at = _mended_host(out, begin, at)
        if begin == at:
            return -1
    while path and at >= path and get(out, at - 1) == _SLASH:
        at -= 1
    for place in range(start, end):
        byte = get(data, place)
        if byte <= 32 or byte >= 127:
            return -1
    return at


@part
def _mended_host(out, begin, at):
    """The host without dots behind it and "www." before, moved to where it began: (begin, end)."""
    while at > begin and get(out, at - 1) == _DOT:
        at -= 1
    if at - begin > 4 and says(out, begin, at, _WWW, False):
        for place in range(begin, at - 4):
            put(out, place, get(out, place + 4))
        at -= 4
    return begin, at


@part
def _behind_scheme(data, start, end):
    """Where the host begins; -1 if the URL does not begin with http:// or https://."""
    if start + 8 > end or not says(data, start, end, _SCHEME, True):
        return -1
    at = start + 4
    if get(data, at) | 32 == 115:
        at += 1
    if at + 3 > end or get(data, at) != _COLON or get(data, at + 1) != _SLASH or get(data, at + 2) != _SLASH:
        return -1
    return at + 3


# -- lists -----------------------------------------------------------------------------------------


def find_listed(
    offsets: np.ndarray, data: np.ndarray, hashes: np.ndarray, begins: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each address (found int64, start int64, end int64): the lowest number of an entry that meets it, -1 if none does,
    and the bytes of the address that are the entry.

    hashes: uint64, rising, of the entries' canonical forms; begins: their `directory`. numbers: uint16, twice the number of the entry's list, and 1
    more for a domain that meets only the host of that very name.
    """
    found = np.full(len(offsets) - 1, -1, np.int64)
    starts, ends = np.zeros_like(found), np.zeros_like(found)
    bits = (len(begins) - 1).bit_length() - 1
    _find_column(offsets, data, hashes, begins, bits, numbers, found, starts, ends)
    return found, starts, ends


def directory_of(hashes: np.ndarray) -> np.ndarray:
    """Where the hashes of each beginning begin, int64: some four hashes each."""
    return directory(hashes, max(1, len(hashes).bit_length() - 2))


@kernel
def _find_column(offsets, data, hashes, begins, bits, numbers, found, starts, ends):
    bytes_ = pointer(data)
    lists = (pointer(hashes), pointer(begins), bits, pointer(numbers))
    for row in range(len(found)):
        best = (np.int64(-1), np.int64(0), np.int64(0))
        start, name_end, host_end = _host(bytes_, offsets[row], offsets[row + 1])
        if start < name_end:
            best = _domains(bytes_, start, name_end, lists, best)
            best = _prefixes(bytes_, start, name_end, host_end, offsets[row + 1], lists, best)
        found[row], starts[row], ends[row] = best


@part
def _host(data, start, end):
    """(where the host's name begins, ends, where the port ends) of an address, which may have scheme, user and port."""
    host_end = start
    while host_end < end:
        byte = get(data, host_end)
        if (
            byte == _COLON
            and host_end + 2 < end
            and get(data, host_end + 1) == _SLASH
            and get(data, host_end + 2) == _SLASH
        ):
            start = host_end + 3
            host_end = start
            continue
        if byte in (_SLASH, _QUERY, _HASH):
            break
        if byte == _AT:
            start = host_end + 1
        host_end += 1
    name_end = start
    closing = _CLOSE if start < host_end and get(data, start) == _OPEN else _COLON
    while name_end < host_end and get(data, name_end) != closing:
        name_end += 1
    if closing == _CLOSE and name_end < host_end:
        name_end += 1
    return start, name_end, host_end


@part
def _domains(data, start, end, lists, best):
    """The host and each domain above it; of an IP address or what is no DNS name only itself."""
    alone = end - start > LONGEST_HOST or _is_number(data, start, end)
    best = _look(data, start, end, True, lists, best)
    if alone:
        return best
    for place in range(start, end - 1):
        if get(data, place) == _DOT:
            best = _look(data, place + 1, end, False, lists, best)
    return best


@part
def _is_number(data, start, end):
    for place in range(start, end):
        byte = get(data, place)
        if byte != _DOT and not 48 <= byte <= 57:
            return False
    return True


@part
def _prefixes(data, start, name_end, host_end, end, lists, best):
    """The address up to each part of its path, and the whole."""
    if name_end < host_end:
        best = _look(data, start, host_end, True, lists, best)
    seen = 0
    for place in range(host_end + 1, end):
        byte = get(data, place)
        if byte in (_SLASH, _QUERY, _HASH):
            seen += 1
            if seen > MOST_PREFIXES:
                break
            best = _look(data, start, place, True, lists, best)
    if end > host_end:
        best = _look(data, start, end, True, lists, best)
    return best


@part
def _look(data, start, end, whole, lists, best):
    """`best`, or data[start:end] if it is an entry of a list with a lower number."""
    hashes, begins, bits, numbers = lists
    wanted = hash_bytes(data, start, end)
    top = int64(wanted >> np.uint64(64 - bits))
    low, high = get(begins, top), get(begins, top + 1)
    stop = high
    while low < high:
        middle = (low + high) // 2
        if get(hashes, middle) < wanted:
            low = middle + 1
        else:
            high = middle
    if low < stop and get(hashes, low) == wanted:
        number = int64(get(numbers, low))
        if (whole or number & 1 == 0) and (best[0] < 0 or number >> 1 < best[0]):
            return number >> 1, int64(start), int64(end)
    return best


# -- words -----------------------------------------------------------------------------------------


def url_words(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(hashes uint64, first hash of each address int64 (n + 1,), letters uint8, first letter of each int64 (n + 1,)).

    Words are runs of ASCII letters and digits in lower case; an escape (%20) parts them. `letters` are the words of an
    address without what stands between them.
    """
    size = int(offsets[-1] - offsets[0])
    hashes = np.empty(size // 2 + len(offsets), np.uint64)
    letters = np.empty(size + 128, np.uint8)
    firsts, starts = np.zeros(len(offsets), np.int64), np.zeros(len(offsets), np.int64)
    _words_column(offsets, data, hashes, firsts, letters, starts)
    return hashes[: firsts[-1]], firsts, letters[: starts[-1]], starts


@kernel
def _words_column(offsets, data, hashes, firsts, letters, starts):
    words, at = 0, 0
    for row in range(len(offsets) - 1):
        begin, place, end = at, offsets[row], offsets[row + 1]
        while place <= end:
            byte = get(pointer(data), place) if place < end else 0
            byte = byte + 32 if 65 <= byte <= 90 else byte
            if 97 <= byte <= 122 or 48 <= byte <= 57:
                put(pointer(letters), at, byte)
                at += 1
                place += 1
                continue
            if at > begin:
                put(pointer(hashes), words, hash_bytes(pointer(letters), begin, at))
                words += 1
                begin = at
            place += 3 if byte == _PERCENT and place + 3 <= end else 1
        firsts[row + 1] = words
        starts[row + 1] = at
