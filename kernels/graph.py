"""Rows in order, and decisions over pairs of documents: loops that hang on what they did before."""

# mypy: disable-error-code="no-untyped-def, assignment"

import numpy as np

from kernels.compile import kernel, part

_FEW = 16


@kernel
def order_rows(first, second, third, order):
    """`order` (int64) leaves with the rows in the order of `first`, then `second`, then `third`. Linear for evenly
    spread `first`; at the worst n**(4/3) comparisons for n rows of one value."""
    rows = len(first)
    if rows == 0:
        return
    low, high = first[0], first[0]
    for i in range(rows):
        low, high = min(low, first[i]), max(high, first[i])
    shift = np.uint64(0)
    while (high - low) >> shift >= np.uint64(2 * rows):  # up to two buckets a row
        shift += np.uint64(1)
    ends = np.zeros(np.int64((high - low) >> shift) + 2, np.int64)
    for i in range(rows):
        ends[np.int64((first[i] - low) >> shift) + 1] += 1
    for bucket in range(1, len(ends)):
        ends[bucket] += ends[bucket - 1]
    for i in range(rows):
        bucket = np.int64((first[i] - low) >> shift)
        order[ends[bucket]] = i
        ends[bucket] += 1
    start = np.int64(0)
    for bucket in range(len(ends) - 1):
        end = ends[bucket]
        if end - start > 1:
            _sort_rows(order, start, end, first, second, third)
        start = end


@kernel
def seen_again(values, again):
    """again[i] (bool) comes out true if values[i] (uint64, spread evenly) is not the only one of its value; of one in five
    others, too: four counters a value, found by its lowest bits."""
    slots = 1
    while slots < 4 * len(values):
        slots *= 2
    counts, mask = np.zeros(slots, np.uint8), np.uint64(slots - 1)
    for i in range(len(values)):
        counts[values[i] & mask] = min(counts[values[i] & mask], 1) + 1
    for i in range(len(values)):
        again[i] = counts[values[i] & mask] > 1


@part
def _sort_rows(order, start, end, first, second, third):
    if end - start > _FEW:
        for k in range(24, 0, -1):  # the gaps of Sedgewick (1986)
            _insert(order, start, end, np.int64((1 << 2 * k) + 3 * (1 << k - 1) + 1), first, second, third)
    _insert(order, start, end, np.int64(1), first, second, third)


@part
def _insert(order, start, end, gap, first, second, third):
    for i in range(start + gap, end):
        row, j = order[i], i
        while j - gap >= start and _before(row, order[j - gap], first, second, third):
            order[j] = order[j - gap]
            j -= gap
        order[j] = row


@part
def _before(a, b, first, second, third):
    if first[a] != first[b]:
        return first[a] < first[b]
    return second[a] < second[b] or (second[a] == second[b] and third[a] < third[b])


@kernel
def smallest_members(parent, ends):
    """Union-find over the edges `ends` (int64 (m, 2)). `parent` (int64) comes as 0..n-1 and leaves with the smallest
    member of each node's component: a root is never above what hangs below it."""
    for edge in range(len(ends)):
        a, b = root(parent, ends[edge, 0]), root(parent, ends[edge, 1])
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b
    for node in range(len(parent)):
        parent[node] = parent[parent[node]]  # that of a smaller node is its root already


@part
def root(parent, node):
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@kernel
def first_independent_set(ends, alive):
    """`alive` (bool) comes true and leaves with the nodes kept: each in turn, unless one kept before it shares an
    edge with it. `ends` int64 (m, 2): the smaller node of each edge first."""
    starts = np.zeros(len(alive) + 1, np.int64)
    for edge in range(len(ends)):
        starts[ends[edge, 0] + 1] += 1
    for node in range(len(alive)):
        starts[node + 1] += starts[node]
    worse = np.empty(len(ends), np.int64)
    for edge in range(len(ends)):
        better = ends[edge, 0]
        worse[starts[better]] = ends[edge, 1]
        starts[better] += 1
    first = 0
    for node in range(len(alive)):  # now starts[node] is where its neighbours end
        if alive[node]:
            for i in range(first, starts[node]):
                alive[worse[i]] = False
        first = starts[node]


@kernel
def most_similar(ends, weights, alive, keeper, similarity):
    """For each node its most similar neighbour among the `alive`, the smallest of equally similar ones. `keeper`
    comes as 0..n-1 and `similarity` as NaN, and stay so where there is none."""
    for edge in range(len(ends)):
        for side in range(2):
            node, other = ends[edge, side], ends[edge, 1 - side]
            if not alive[other]:
                continue
            weight, best = weights[edge], similarity[node]
            if np.isnan(best) or weight > best or (weight == best and other < keeper[node]):
                keeper[node], similarity[node] = other, weight
