"""Lists of domains and URLs, line by line: the hashes of what stands in them.

    ads.example.com              a domain                     http://Example.com/ads/   a URL
    0.0.0.0 a.com b.com  # x     two domains (hosts file)     # or ! or ;               a comment
    ||ads.example.com^           not understood: counted

Entries that are not plain (kernels/addresses.py), such as those with a query or an escape, are handed back as places. The
plain ones are brought to their canonical form where they stand, so a chunk is read once.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.compile import kernel, part
from kernels.hashes import hash_bytes
from kernels.marks import as_bytes, says
from kernels.memory import get, pointer, put

DOMAIN, ADDRESS, ODD, WRONG, NOTHING = 1, 2, 3, 4, 0
_WWW, _HTTP, _HTTPS, _ANY = as_bytes("www."), as_bytes("http://"), as_bytes("https://"), as_bytes("*.")
_LOCAL = as_bytes("localhost.localdomain")
_ZERO = as_bytes("0.0.0.0")


class Lines(NamedTuple):
    """hashes, parents: uint64 of each plain entry and of the domain above it (0 for URLs). odd: int64 (n, 2), the bytes of
    entries that are not plain. wrong: int64 (n, 2), number of the line (from 0) and first byte of what was not understood.
    lines: how many."""

    hashes: np.ndarray
    parents: np.ndarray
    odd: np.ndarray
    wrong: np.ndarray
    lines: int


def read_lines(data: np.ndarray, size: int) -> Lines:
    """Reads data[:size], whole lines; the array is written to and has 128 bytes more."""
    pieces = int(np.count_nonzero(data[:size] <= 32)) + 1
    hashes, parents = np.empty(pieces, np.uint64), np.empty(pieces, np.uint64)
    odd, wrong = np.empty((pieces, 2), np.int64), np.empty((pieces, 2), np.int64)
    counts = np.zeros(4, np.int64)
    _read(data, size, hashes, parents, odd, wrong, counts)
    plain, odds, wrongs, lines = counts.tolist()
    return Lines(hashes[:plain].copy(), parents[:plain].copy(), odd[:odds].copy(), wrong[:wrongs].copy(), lines)


@kernel
def _read(data, size, hashes, parents, odd, wrong, counts):
    bytes_ = pointer(data)
    at = 0
    while at < size:
        stop = at
        while stop < size and get(bytes_, stop) != 10:
            stop += 1
        _line(bytes_, at, stop, hashes, parents, odd, wrong, counts)
        counts[3] += 1
        at = stop + 1


@part
def _line(data, at, stop, hashes, parents, odd, wrong, counts):
    """One line: its entries, or its place among the wrong ones."""
    start, end = _piece(data, at, stop)
    if start == end or _is_comment(get(data, start)):
        return
    second, second_end = _piece(data, end, stop)
    more = second < second_end and get(data, second) != 35
    hosts = more and _is_ip(data, start, end)
    if more and not hosts:
        wrong[counts[2], 0], wrong[counts[2], 1] = counts[3], start
        counts[2] += 1
        return
    if hosts:
        start, end = second, second_end
    while start < end and get(data, start) != 35:
        kind = NOTHING if hosts and _is_local(data, start, end) else _entry(data, start, end, hashes, parents, counts)
        if kind == ODD:
            odd[counts[1], 0], odd[counts[1], 1] = start, end
            counts[1] += 1
        elif kind == WRONG:
            wrong[counts[2], 0], wrong[counts[2], 1] = counts[3], start
            counts[2] += 1
        start, end = _piece(data, end, stop)


@part
def _piece(data, at, stop):
    """The next run of bytes that are no white space: (start, end)."""
    while at < stop and get(data, at) <= 32:
        at += 1
    end = at
    while end < stop and get(data, end) > 32:
        end += 1
    return at, end


@part
def _is_comment(byte):
    return byte == 35 or byte == 33 or byte == 59 or byte == 91  # # ! ; [


@part
def _is_ip(data, start, end):
    """Digits and dots, or two colons at least."""
    colons = 0
    number = True
    for place in range(start, end):
        byte = get(data, place)
        colons += byte == 58
        number = number and (byte == 46 or 48 <= byte <= 57)
    return number or colons > 1


@part
def _is_local(data, start, end):
    """What hosts files say of the machine itself: names without a dot, localhost.localdomain, 0.0.0.0."""
    if end - start == len(_LOCAL) and says(data, start, end, _LOCAL, True):
        return True
    if end - start == len(_ZERO) and says(data, start, end, _ZERO, False):
        return True
    dots = 0
    for place in range(start, end):
        dots += get(data, place) == 46
    return dots == 0


@part
def _entry(data, start, end, hashes, parents, counts):
    """Reads one entry in place and appends its hash; its kind."""
    if says(data, start, end, _HTTP, True):
        start += len(_HTTP)
    elif says(data, start, end, _HTTPS, True):
        start += len(_HTTPS)
    elif says(data, start, end, _ANY, False):
        start += len(_ANY)
    start += 1 if start < end and get(data, start) == 46 else 0
    host_end, kind = _host_end(data, start, end)
    if kind != DOMAIN:
        return kind
    while end > host_end and get(data, end - 1) == 47:
        end -= 1
    if end > host_end:
        if _is_odd(data, host_end, end):
            return ODD
        kind = ADDRESS
    elif get(data, host_end - 1) == 46:
        host_end -= 1
        end = host_end
    if host_end - start > 4 and says(data, start, host_end, _WWW, False):
        start += 4
    dot = start
    while dot < host_end and get(data, dot) != 46:
        dot += 1
    if dot == start or dot + 1 >= host_end:
        return WRONG  # a name without a dot is no domain
    if kind == ADDRESS and get(data, host_end - 1) == 46:
        return ODD
    hashes[counts[0]] = hash_bytes(data, start, end)
    parents[counts[0]] = hash_bytes(data, dot + 1, host_end) if kind == DOMAIN else np.uint64(0)
    counts[0] += 1
    return kind


@part
def _host_end(data, start, end):
    """(where the host ends, DOMAIN if it is plain, ODD or WRONG); it is in lower case then."""
    for place in range(start, end):
        byte = get(data, place)
        if byte == 47:
            return place, DOMAIN if place > start else WRONG
        if 65 <= byte <= 90:
            put(data, place, byte + 32)
        elif byte >= 127 or byte == 37 or byte == 63 or byte == 64 or byte == 58:  # % ? @ :
            return place, ODD if place > start or byte >= 127 else WRONG
        elif not (97 <= byte <= 122 or 48 <= byte <= 57 or byte == 46 or byte == 45 or byte == 95):
            return place, WRONG
    return end, DOMAIN if end > start else WRONG


@part
def _is_odd(data, start, end):
    """Whether a path is not plain."""
    for place in range(start, end):
        byte = get(data, place)
        if byte >= 127 or byte == 37 or byte == 63 or byte == 35:
            return True
        if byte == 46 and get(data, place - 1) == 47:
            return True
    return False
