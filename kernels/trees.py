"""An ensemble of decision trees on rows of numbers: the sum of one leaf a tree.

A tree is its inner nodes in a row: node i compares column `feature[i]` with `threshold[i]` and goes to `children[2 * i]` (at most the
threshold) or `children[2 * i + 1]`; a negative place is leaf ~place. Leaves are whole numbers, so that the sum is the same on every
machine. Which way a node goes is an index, not a branch: no processor can guess it.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from kernels.compile import kernel
from kernels.memory import get, int64, pointer


@kernel
def _down(at, first, begin, columns, limits, ways, values):
    """A step from the node `at`, or where it is if that is a leaf (< 0). begin: where the row's values do."""
    if at < 0:
        return at
    node = first + at
    high = get(values, begin + int64(get(columns, node))) > get(limits, node)
    return int64(get(ways, 2 * node + int64(high)))


@kernel
def tree_sums(rows, feature, threshold, children, leaves, node_starts, leaf_starts):
    """int64 (n,): for each row of float32 (n, columns) the sum of its leaves, one of each tree.

    Trees begin at node_starts[t] in the arrays of nodes and at leaf_starts[t] in `leaves`; places are counted from there.
    """
    sums = np.zeros(len(rows), np.int64)
    columns, limits, ways, values = pointer(feature), pointer(threshold), pointer(children), pointer(rows)
    width = int64(rows.shape[1])
    for tree in range(len(node_starts)):
        first, first_leaf = int64(node_starts[tree]), int64(leaf_starts[tree])
        # four rows at once: a step waits for the one before it, not for those beside it
        for row in range(0, len(rows) - 3, 4):
            one = two = three = four = int64(0)
            begin = row * width
            while one >= 0 or two >= 0 or three >= 0 or four >= 0:
                one = _down(one, first, begin, columns, limits, ways, values)
                two = _down(two, first, begin + width, columns, limits, ways, values)
                three = _down(three, first, begin + 2 * width, columns, limits, ways, values)
                four = _down(four, first, begin + 3 * width, columns, limits, ways, values)
            sums[row] += leaves[first_leaf - one - 1]
            sums[row + 1] += leaves[first_leaf - two - 1]
            sums[row + 2] += leaves[first_leaf - three - 1]
            sums[row + 3] += leaves[first_leaf - four - 1]
        for row in range(len(rows) - len(rows) % 4, len(rows)):
            at = int64(0)
            while at >= 0:
                at = _down(at, first, row * width, columns, limits, ways, values)
            sums[row] += leaves[first_leaf - at - 1]
    return sums
