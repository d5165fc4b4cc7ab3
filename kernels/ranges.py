"""Graphs by ranges of ranks, one range in memory at a time: what its nodes decide, and what others must be told.

A range is `low` .. `low + len(...)`. Its pairs (int64, first < second) stand in the range of the first; the second
may lie behind the range. Similarities are the bits of float64 in the third word of a pair, handed over as a second
view of the same rows.
"""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.graph import root

_NONE = -1


# -- rows and tables -------------------------------------------------------------------------------


@kernel
def deal(rows, parts, ends, target):
    """Rows (uint64 (n, words)) into `target` by part (int32), those of a part in the order they had. `ends` (int64,
    one for each part) leaves with the end of each."""
    ends[:] = 0
    for i in range(len(rows)):
        ends[parts[i]] += 1
    total = np.int64(0)
    for p in range(len(ends)):
        total, ends[p] = total + ends[p], total
    for i in range(len(rows)):
        place = ends[parts[i]]
        ends[parts[i]] = place + 1
        for word in range(rows.shape[1]):
            target[place, word] = rows[i, word]


@kernel
def parts_of(rows, column, bounds, parts):
    """For each rows[:, column] how many of `bounds` (uint64, ascending) are at or below it: parts, int32."""
    top = 1
    while top <= len(bounds):
        top *= 2
    padded = np.full(top, np.uint64(2**64 - 1))  # so that each step is an addition and no jump
    padded[: len(bounds)] = bounds
    most = np.int64(len(bounds))
    for i in range(len(rows)):
        value, step, low = rows[i, column], top // 2, np.int64(0)
        while step > 0:
            low += step * np.int64(padded[low + step - 1] <= value)
            step //= 2
        parts[i] = min(low, most)


@kernel
def parts_of_tuples(rows, bounds, parts):
    """For each row how many of `bounds` (uint64 (k, words), ascending) are at or below it, word by word."""
    for i in range(len(rows)):
        low, high = 0, len(bounds)
        while low < high:
            middle = (low + high) // 2
            if _is_below(rows, i, bounds, middle):
                high = middle
            else:
                low = middle + 1
        parts[i] = low


@part
def _is_below(rows, i, bounds, j):
    for word in range(bounds.shape[1]):
        if rows[i, word] != bounds[j, word]:
            return rows[i, word] < bounds[j, word]
    return False


@kernel
def enter(slots, keys, values, fresh):
    """Puts key -> value (uint64, below 2**64 - 1) into a table: `slots` uint64 (a power of two above len(keys), 2),
    first all zero. `fresh` (bool) tells the keys that were not in it; of equal keys the first one's value stays."""
    mask = np.uint64(len(slots) - 1)
    for i in range(len(keys)):
        slot = _slot(slots, keys[i], mask)
        fresh[i] = slots[slot, 1] == 0
        if fresh[i]:
            slots[slot, 0] = keys[i]
            slots[slot, 1] = values[i] + np.uint64(1)


@kernel
def look_up(slots, keys, column, values, to):
    """values[:, to] = that of the table for keys[:, column]. -1, or the first row whose key is not there: that and
    those behind are left as they are."""
    mask = np.uint64(len(slots) - 1)
    for i in range(len(keys)):
        slot = _slot(slots, keys[i, column], mask)
        if slots[slot, 1] == 0:
            return i
        values[i, to] = slots[slot, 1] - np.uint64(1)
    return -1


@part
def _slot(slots, key, mask):
    """Where the key is, or the free slot where it belongs."""
    slot = key ^ key >> np.uint64(32)  # splitmix64's second half: numbers of a shard lie side by side
    slot = (slot ^ slot >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    slot = (slot ^ slot >> np.uint64(27)) & mask
    while slots[slot, 1] != 0 and slots[slot, 0] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@kernel
def order_pairs(rows, target):
    """Rows (int64 (n, 2 or more)) into `target`, the smaller of their first two numbers first, but for those of one
    number. Returns how many."""
    count = 0
    for i in range(len(rows)):
        a, b = rows[i, 0], rows[i, 1]
        if a != b:
            target[count, 0], target[count, 1] = min(a, b), max(a, b)
            for word in range(2, rows.shape[1]):
                target[count, word] = rows[i, word]
            count += 1
    return count


# -- components ------------------------------------------------------------------------------------


@kernel
def unite(pairs, low, parent, least, outer, passed):
    """Union-find over the nodes of a range. `parent` (local, as in `smallest_members`), `least` (smallest known
    member of a root's component), `outer` (the last node behind the range that a root's component touches, -1 if
    none).

    A component needs one way out: of two, the pair of them holds together what lies behind and goes to `passed`
    (first < second). Returns how many did; at most one for each pair.
    """
    count, high = 0, low + len(parent)
    for i in range(len(pairs)):
        a = root(parent, pairs[i, 0] - low)
        way = pairs[i, 1]
        if way < high:
            b = root(parent, way - low)
            if a == b:
                continue
            a, b = min(a, b), max(a, b)
            parent[b] = a
            least[a] = min(least[a], least[b])
            way = outer[b]
        if way == _NONE or way == outer[a]:
            continue
        if outer[a] != _NONE:
            passed[count, 0], passed[count, 1] = min(way, outer[a]), max(way, outer[a])
            count += 1
        outer[a] = max(outer[a], way)
    return count


@kernel
def lower(hints, low, least):
    """least[hints[:, 0]] is at most hints[:, 2]."""
    for i in range(len(hints)):
        node = hints[i, 0] - low
        least[node] = min(least[node], hints[i, 2])


@kernel
def flatten(parent):
    """Each node's root, as `smallest_members` leaves it."""
    for node in range(len(parent)):
        parent[node] = parent[parent[node]]


# -- who stays, for whom ---------------------------------------------------------------------------
# What is told to a later range: (node, 2 * neighbour + neighbour is kept, similarity).


@kernel
def strike(told, low, alive):
    """Nodes with a kept neighbour in an earlier range are out."""
    for i in range(len(told)):
        if told[i, 1] & 1:
            alive[told[i, 0] - low] = False


@kernel
def settle(edges, weights, low, alive, keeper, similarity, told):
    """Offers each removed node of the range its kept neighbours in the range, and fills `told` with the edges that
    leave it. Returns how many do."""
    count, high = 0, low + len(alive)
    for i in range(len(edges)):
        a, b = edges[i, 0] - low, edges[i, 1]
        if b >= high:
            told[count, 0], told[count, 1] = b, edges[i, 0] * 2 + alive[a]
            told[count, 2] = edges[i, 2]
            count += 1
        elif alive[a]:  # then b is out
            _offer(b - low, edges[i, 0], weights[i, 2], keeper, similarity)
        elif alive[b - low]:
            _offer(a, b, weights[i, 2], keeper, similarity)
    return count


@kernel
def reply(told, weights, low, alive, keeper, similarity, back):
    """Offers the nodes of the range the kept neighbours before it. Fills `back` with (removed neighbour, kept node,
    similarity). Returns how many."""
    count = 0
    for i in range(len(told)):
        node, other = told[i, 0] - low, told[i, 1] >> 1
        if told[i, 1] & 1:
            _offer(node, other, weights[i, 2], keeper, similarity)
        elif alive[node]:
            back[count, 0], back[count, 1], back[count, 2] = other, told[i, 0], told[i, 2]
            count += 1
    return count


@kernel
def offer_all(offers, weights, low, keeper, similarity):
    """Offers (removed node of the range, kept neighbour, similarity)."""
    for i in range(len(offers)):
        _offer(offers[i, 0] - low, offers[i, 1], weights[i, 2], keeper, similarity)


@part
def _offer(node, other, weight, keeper, similarity):
    """The most similar neighbour, the smallest of equally similar ones."""
    best = similarity[node]
    if np.isnan(best) or weight > best or (weight == best and other < keeper[node]):
        keeper[node], similarity[node] = other, weight


@kernel
def gather(members, low, least, sizes):
    """Of (root, any, key, key) rows: how many a root of the range has, and their smallest 128-bit key (uint64;
    `least` comes with all bits set)."""
    for i in range(len(members)):
        root = np.int64(members[i, 0]) - low
        first, second = members[i, 2], members[i, 3]
        if first < least[root, 0] or (first == least[root, 0] and second < least[root, 1]):
            least[root, 0], least[root, 1] = first, second
        sizes[root] += 1
