"""Jaccard similarities and containments of sorted sets of hashes. The twin is `dedup.plain`."""

# mypy: disable-error-code="no-untyped-def, assignment, operator"

import numpy as np

from kernels.compile import kernel, part

# Steps between two looks at whether the pair can still reach the least similarity.
_STEPS = np.uint64(64)

# From so many times the other's size on a search for each value of the smaller set is faster than a merge.
_UNEVEN = np.uint64(16)

_0, _1, _2, _3, _4 = (np.uint64(number) for number in range(5))


@kernel
def similarities(left_offsets, left_values, right_offsets, right_values, left, right, least, of_smaller, out):
    """out[i] = shared / union of the rows left[i] and right[i] of two CSRs (rows sorted, unique), or with `of_smaller`
    (bool) shared / size of the smaller; 0.0 if below `least`: compared no longer than it can be reached."""
    for pair in range(len(left)):
        a, a_end = np.uint64(left_offsets[left[pair]]), np.uint64(left_offsets[left[pair] + 1])
        b, b_end = np.uint64(right_offsets[right[pair]]), np.uint64(right_offsets[right[pair] + 1])
        smaller, both = np.int64(min(a_end - a, b_end - b)), np.int64((a_end - a) + (b_end - b))
        needed = _fewest_contained(smaller, least) if of_smaller else _fewest_shared(both, least)
        shared = _0
        if smaller >= needed:
            if (a_end - a) > _UNEVEN * (b_end - b):
                shared = _looked_up(right_values, b, b_end, left_values, a, a_end, np.uint64(needed))
            elif (b_end - b) > _UNEVEN * (a_end - a):
                shared = _looked_up(left_values, a, a_end, right_values, b, b_end, np.uint64(needed))
            else:
                shared = _shared(left_values, a, a_end, right_values, b, b_end, np.uint64(needed))
        if shared > _0 and shared >= np.uint64(needed):
            out[pair] = np.int64(shared) / (smaller if of_smaller else both - np.int64(shared))
        else:
            out[pair] = 0.0


@part
def _fewest_shared(both, least):
    """The smallest number of shared values whose similarity, as a float64, is at `least` or above. `both`: the sizes
    of the two sets together. The division rounds monotonously, so everything above is too."""
    needed = max(np.int64(least / (1.0 + least) * both) - 1, 0)
    while needed < both and needed / max(both - needed, 1) < least:
        needed += 1
    return needed


@part
def _fewest_contained(smaller, least):
    """The same of the share of the smaller set; above `smaller` if that cannot be."""
    needed = max(np.int64(least * smaller) - 1, 0)
    while needed <= smaller and needed / max(smaller, 1) < least:
        needed += 1
    return needed


@part
def _looked_up(small, a, a_end, large, b, b_end, needed):
    """As `_shared`, of sets of very different sizes: each value of the small one is searched in the large one, in steps
    that double (a search from the place before)."""
    shared = _0
    while a < a_end and b < b_end:
        if shared + (a_end - a) < needed:
            return shared
        step, low = _1, b
        while b + step < b_end and large[b + step] < small[a]:
            low = b + step
            step *= _2
        b = _first_not_below(large, low, min(b + step, b_end), small[a])
        shared += np.uint64(b < b_end and large[b] == small[a])
        a += _1
    return shared


@part
def _shared(left, a, a_end, right, b, b_end, needed):
    """How many values left[a:a_end] and right[b:b_end] share, or any number below `needed` if it is.

    A step of a merge waits for the one before. So four are done side by side, on the four quarters of the left row
    and what of the right row lies between their first values. Places are uint64: see kernels/letters.py.
    """
    quarter = (a_end - a) // _4
    a1, a2, a3 = a + quarter, a + _2 * quarter, a + _3 * quarter
    b1, b2, b3 = b, b, b
    if quarter:
        b1 = _first_not_below(right, b, b_end, left[a1])
        b2 = _first_not_below(right, b1, b_end, left[a2])
        b3 = _first_not_below(right, b2, b_end, left[a3])
    e0, e1, e2, f0, f1, f2 = a1, a2, a3, b1, b2, b3
    shared = _0
    while True:
        r0, r1 = min(e0 - a, f0 - b), min(e1 - a1, f1 - b1)
        r2, r3 = min(e2 - a2, f2 - b2), min(a_end - a3, b_end - b3)
        if shared + r0 + r1 + r2 + r3 < needed:
            return shared
        steps = min(min(r0, r1), min(r2, r3))
        if steps == _0:
            break
        for _ in range(min(steps, _STEPS)):  # each goes on by at most one in each row
            x0, y0, x1, y1 = left[a], right[b], left[a1], right[b1]
            x2, y2, x3, y3 = left[a2], right[b2], left[a3], right[b3]
            a += np.uint64(x0 <= y0)
            b += np.uint64(y0 <= x0)
            a1 += np.uint64(x1 <= y1)
            b1 += np.uint64(y1 <= x1)
            a2 += np.uint64(x2 <= y2)
            b2 += np.uint64(y2 <= x2)
            a3 += np.uint64(x3 <= y3)
            b3 += np.uint64(y3 <= x3)
            shared += np.uint64(x0 == y0) + np.uint64(x1 == y1) + np.uint64(x2 == y2) + np.uint64(x3 == y3)
    # one part is done; of the others little is left, for hashes are spread evenly
    shared += _merge(left, a, e0, right, b, f0) + _merge(left, a1, e1, right, b1, f1)
    return shared + _merge(left, a2, e2, right, b2, f2) + _merge(left, a3, a_end, right, b3, b_end)


@part
def _merge(left, a, a_end, right, b, b_end):
    shared = _0
    while a < a_end and b < b_end:
        x, y = left[a], right[b]
        a += np.uint64(x <= y)
        b += np.uint64(y <= x)
        shared += np.uint64(x == y)
    return shared


@part
def _first_not_below(values, low, high, value):
    while low < high:
        middle = (low + high) // _2
        if values[middle] < value:
            low = middle + _1
        else:
            high = middle
    return low
