"""Sorting hashes. They are spread evenly, so their upper bits nearly say where they belong."""

# mypy: disable-error-code="no-untyped-def, assignment, operator"

import numpy as np

from kernels.compile import part

# A part of up to 2**12 values is dealt into at most 2**13 buckets at once: counts and values stay in the second
# level of the cache. More values are dealt into such parts first.
_PART_BITS = 12
_DEAL_BITS = 11
# A bucket above this is no chance (one value is expected) but many copies, or a crafted set.
_CROWD = 32
COUNTS = (1 << _PART_BITS + 1) + 1
# numba compiles a function once more for each place that is called with a number written out
_NONE, _ONE = np.int64(0), np.int64(1)


@part
def sort_unique(source, count, target, low, counts):
    """Sorts source[:count] (uint64) into `target` from `low` and drops repeats; how many are left. Linear for evenly
    spread values and for copies of few, count**(4/3) at the worst. `source` is spoilt; `counts` is uint32 (COUNTS)."""
    bits = _NONE
    while bits < _DEAL_BITS and count >> bits > 1 << _PART_BITS:
        bits += 1
    ends = counts
    if bits:
        for i in range(count):
            target[low + i] = source[i]
        ends = np.empty((1 << bits) + 1, np.uint32)
        _deal(target, low, count, source, _NONE, ends, _NONE, bits)
    begin = _NONE
    for piece in range(1 << bits):
        end = np.int64(ends[piece]) if bits else count
        _sort_part(source, begin, end - begin, target, low + begin, bits, counts)
        begin = end
    return _drop_repeats(target, low, count)


@part
def _sort_part(source, begin, count, target, low, used, counts):
    """Sorts source[begin : begin + count] into `target` from `low`; the upper `used` bits are equal."""
    bits = _ONE
    while 1 << bits < count and bits <= _PART_BITS:
        bits += 1
    most = _deal(source, begin, count, target, low, counts, used, bits)
    if most > _CROWD:
        for k in range(24, 0, -1):  # the gaps of Sedgewick (1986)
            _insert(target, low, low + count, np.int64((1 << 2 * k) + 3 * (1 << k - 1) + 1))
    _insert(target, low, low + count, _ONE)


@part
def _deal(source, begin, count, target, low, ends, used, bits):
    """Puts the values in the order of `bits` bits below the upper `used`. `ends` leaves with the end of each bucket.
    The size of the fullest bucket."""
    up, down, base = np.uint64(used), np.uint64(64 - bits), np.uint64(low)
    for bucket in range((1 << bits) + 1):
        ends[bucket] = 0
    for i in range(begin, begin + count):
        ends[(source[np.uint64(i)] << up >> down) + np.uint64(1)] += np.uint32(1)
    most, total = np.uint32(0), np.uint32(0)
    for bucket in range(1, (1 << bits) + 1):
        most = max(most, ends[bucket])
        total = np.uint32(total + ends[bucket])
        ends[bucket] = total
    for i in range(begin, begin + count):
        value = source[np.uint64(i)]
        bucket = value << up >> down
        place = np.uint64(ends[bucket])
        target[base + place] = value
        ends[bucket] = place + np.uint64(1)
    return np.int64(most)


@part
def _insert(values, low, high, gap):
    """Sorts what is `gap` apart: fast where little is out of order."""
    # unsigned: an index that can be negative costs a test at each load
    least, step = np.uint64(low + gap), np.uint64(gap)
    for i in range(low + gap, high):
        j = np.uint64(i)
        value, before = values[j], values[j - step]
        while before > value:
            values[j] = before
            j -= step
            if j < least:
                break
            before = values[j - step]
        values[j] = value


@part
def _drop_repeats(values, low, count):
    kept = np.uint64(low)
    last = values[kept]
    for i in range(low + 1, low + count):
        value = values[np.uint64(i)]
        kept += np.uint64(value != last)
        values[kept] = value
        last = value
    return np.int64(kept) - low + 1
