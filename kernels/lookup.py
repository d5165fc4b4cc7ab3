"""Where hashes stand in a sorted array of hashes."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel


@kernel
def directory(hashes, bits):
    """starts[i]: the first place in the sorted `hashes` (uint64) whose upper `bits` are i or more; int64
    (2**bits + 1)."""
    starts = np.zeros((1 << bits) + 1, np.int64)
    down = np.uint64(64 - bits)
    for place in range(len(hashes)):
        starts[np.int64(hashes[place] >> down) + 1] += 1
    for part in range(1 << bits):
        starts[part + 1] += starts[part]
    return starts


@kernel
def marked(hashes, bits):
    """A set of bits: that of the lower `bits` of each hash. uint64 (2**bits / 64)."""
    marks = np.zeros((1 << bits) >> 6, np.uint64)
    mask = np.uint64((1 << bits) - 1)
    for place in range(len(hashes)):
        bit = hashes[place] & mask
        marks[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
    return marks


@kernel
def equal_ranges(hashes, starts, bits, marks, queries, first, count):
    """For each query the place of the first equal hash, and how many are equal; any place where there is none. What
    `marked` does not know is not looked for."""
    down, mask = np.uint64(64 - bits), np.uint64(len(marks) * 64 - 1)
    for i in range(len(queries)):
        query = queries[i]
        bit = query & mask
        if not marks[bit >> np.uint64(6)] >> (bit & np.uint64(63)) & np.uint64(1):
            first[i] = count[i] = 0
            continue
        part = np.int64(query >> down)
        low, high = starts[part], starts[part + 1]
        end = high
        while low < high:
            middle = (low + high) // 2
            if hashes[middle] < query:
                low = middle + 1
            else:
                high = middle
        first[i] = low
        while high < end and hashes[high] == query:
            high += 1
        count[i] = high - low
