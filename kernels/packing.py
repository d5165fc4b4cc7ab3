"""Packing documents into sequences of one length."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part


@kernel
def best_fit(sizes, length):
    """The bin of each item, int64 of shape (n,); bins are numbered as they are opened.

    `sizes` (int64, each 1 to `length`) come in the order in which they are placed, largest first for best-fit
    decreasing. An item goes into the bin with the least room that it fits in, among equals the one touched last.
    O(n log length): `tree` is one over room left, a node is true where a bin below it has that room.
    """
    leaves = 1
    while leaves <= length:
        leaves *= 2
    tree = np.zeros(2 * leaves, np.uint8)
    head = np.full(length + 1, -1, np.int64)  # room -> the bin touched last
    below = np.empty(len(sizes), np.int64)  # bin -> the next one with the same room
    bins = np.empty(len(sizes), np.int64)
    used = 0
    for i in range(len(sizes)):
        room = _least(tree, leaves, sizes[i])
        if room < 0:
            taken, room = used, length
            used += 1
        else:
            taken = head[room]
            head[room] = below[taken]
            if head[room] < 0:
                _close(tree, leaves + room)
        left = room - sizes[i]
        if left > 0:
            below[taken] = head[left]
            head[left] = taken
            _open(tree, leaves + left)
        bins[i] = taken
    return bins


@part
def _least(tree, leaves, size):
    """The least room of at least `size` that a bin has, -1 if none."""
    node = leaves + size
    if tree[node]:
        return size
    while node > 1:
        if node % 2 == 0 and tree[node + 1]:
            node += 1
            while node < leaves:
                node = 2 * node if tree[2 * node] else 2 * node + 1
            return node - leaves
        node //= 2
    return -1


@part
def _open(tree, node):
    while node >= 1 and not tree[node]:
        tree[node] = 1
        node //= 2


@part
def _close(tree, node):
    tree[node] = 0
    node //= 2
    while node >= 1 and not tree[2 * node] and not tree[2 * node + 1]:
        tree[node] = 0
        node //= 2
