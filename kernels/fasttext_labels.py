"""The output layer of a fastText classifier: from the vector of a text to its best labels and their log-probabilities.

Three kinds: softmax (one probability for each label), one-vs-all and negative sampling (a sigmoid for each), and the
hierarchical softmax (a tree over the labels; the probability of a label is that of the way to its leaf). Computed in
float32 and in the order of the fastText library (src/loss.cc), so that the bits are the same: log(p + 1e-5) for a
logarithm, a sigmoid of 512 steps, nothing below 1e-5 in a tree.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from kernels.compile import part
from kernels.memory import get, pointer, put

SOFTMAX, SIGMOIDS, TREE = range(3)
_STEPS = (np.arange(513, dtype=np.float32) * np.float32(16 / 512) - np.float32(8)).astype(np.float32)
SIGMOID = (1 / (1 + np.exp(-_STEPS).astype(np.float64))).astype(np.float32)
_LOWEST = np.float32(math.log(1e-5))  # the library's tree names no label below it
_SLACK = np.float32(1e-3)  # more than a way down the tree can gain: 1e-5 a step


class Out(NamedTuple):
    """What makes probabilities of a vector. Arrays, or inside of a kernel pointers to them."""

    kind: int  # SOFTMAX, SIGMOIDS or TREE
    labels: int  # how many there are
    weights: Any  # float32: a vector for each label or inner node of the tree
    norms: Any  # float32: a factor for each of these
    left: Any  # int32: left child of each node of the tree over labels, -1 for a leaf; empty without a tree
    right: Any
    sigmoid: Any  # float32: SIGMOID


class Room(NamedTuple):
    """Where the labels of one text are worked out. Arrays, or inside of a kernel pointers to them."""

    k: int  # how many labels are wanted
    scores: Any  # float32 (k): log-probabilities, best first
    names: Any  # int64 (k): their labels
    values: Any  # float32 (labels)
    branches: Any  # float32 (2 * nodes): log-probabilities of going left and right
    known: Any  # int64 (nodes): the text for which they are there
    stack: Any  # int64 (nodes + 1)
    heights: Any  # float32 (nodes + 1): log-probability of each node of the stack


def new_room(out: Out, k: int) -> Room:
    """Room for the `k` best labels; belongs to one call."""
    nodes = len(out.left)
    return Room(
        k,
        np.zeros(k, np.float32),
        np.zeros(k, np.int64),
        np.zeros(out.labels, np.float32),
        np.zeros(2 * nodes, np.float32),
        np.full(nodes, -1, np.int64),
        np.zeros(nodes + 1, np.int64),
        np.zeros(nodes + 1, np.float32),
    )


@part
def out_pointers(out: Any) -> Any:
    """The same with pointers for arrays, for use inside of a kernel that has `out` as an argument."""
    return Out(
        out.kind,
        out.labels,
        pointer(out.weights),
        pointer(out.norms),
        pointer(out.left),
        pointer(out.right),
        pointer(out.sigmoid),
    )


@part
def room_pointers(room: Any) -> Any:
    """The same with pointers for arrays, for use inside of a kernel that has `room` as an argument."""
    return Room(
        room.k,
        pointer(room.scores),
        pointer(room.names),
        pointer(room.values),
        pointer(room.branches),
        pointer(room.known),
        pointer(room.stack),
        pointer(room.heights),
    )


@part
def best_labels(out: Any, vector: Any, dim: int, room: Any, text: int) -> int:
    """Puts the best labels of `vector` into the room: how many there are, at most k. `text`: a number for this text."""
    if out.kind == TREE:
        return _best_leaves(out, vector, dim, room, text)
    for label in range(out.labels):
        put(room.values, label, _dot(out, label, vector, dim))
    if out.kind == SOFTMAX:
        _softmax(room.values, out.labels)
    else:
        for label in range(out.labels):
            put(room.values, label, _step_sigmoid(out, get(room.values, label)))
    count = 0
    for label in range(out.labels):
        count = _insert(room, count, _log(get(room.values, label)), label)
    return count


@part
def _dot(out: Any, row: int, vector: Any, dim: int) -> Any:
    """The product of `vector` and a row of the output matrix, summed up from left to right."""
    result = np.float32(0)
    for at in range(dim):
        result += get(vector, at) * get(out.weights, row * dim + at)
    return result * get(out.norms, row)


@part
def _softmax(values: Any, count: int) -> None:
    top: Any = get(values, 0)
    total = np.float32(0)
    for at in range(count):
        top = max(top, get(values, at))
    for at in range(count):
        put(values, at, np.exp(get(values, at) - top))
        total += get(values, at)
    for at in range(count):
        put(values, at, get(values, at) / total)


@part
def _step_sigmoid(out: Any, value: Any) -> Any:
    if value < -8:
        return np.float32(0)
    if value > 8:
        return np.float32(1)
    return get(out.sigmoid, np.int64((value + np.float32(8)) * np.float32(32)))


@part
def _log(probability: Any) -> Any:
    return np.float32(math.log(np.float64(probability) + 1e-5))


@part
def _insert(room: Any, count: int, score: Any, name: int) -> int:
    """Puts a label among the `count` best, in front of one with an equal score: the library's heap drops the older one."""
    if count == room.k and score < get(room.scores, count - 1):
        return count
    at = min(count, room.k - 1)
    while at > 0 and get(room.scores, at - 1) <= score:
        put(room.scores, at, get(room.scores, at - 1))
        put(room.names, at, get(room.names, at - 1))
        at -= 1
    put(room.scores, at, score)
    put(room.names, at, name)
    return min(count + 1, room.k)


@part
def _best_leaves(out: Any, vector: Any, dim: int, room: Any, text: int) -> int:
    """The leaves that the library finds when it walks from left to right.

    A walk to the better side first finds them soon. It can differ where two are as good as equal (a step down may
    raise the score by 1e-5), so the library's walk follows, over what is near enough to matter.
    """
    count = _walk(out, vector, dim, room, text, _LOWEST, True)
    floor = _LOWEST
    if count == room.k:
        floor = max(_LOWEST, get(room.scores, count - 1) - _SLACK)
    return _walk(out, vector, dim, room, text, floor, False)


@part
def _walk(out: Any, vector: Any, dim: int, room: Any, text: int, floor: Any, best_first: bool) -> int:
    """The best leaves of the tree. A branch is left out if it is below `floor` or below the last of k leaves."""
    count, depth = 0, 1
    put(room.stack, 0, 2 * out.labels - 2)
    put(room.heights, 0, 0)
    while depth > 0:
        depth -= 1
        node, score = get(room.stack, depth), get(room.heights, depth)
        if score < floor or (count == room.k and score < get(room.scores, count - 1)):
            continue
        if get(out.left, node) < 0:
            count = _insert(room, count, score, node)
            continue
        _branch(out, node, vector, dim, room, text)
        left, right = score + get(room.branches, 2 * node), score + get(room.branches, 2 * node + 1)
        right_first = np.int64(best_first and right > left)  # the first one goes on top of the stack
        put(room.stack, depth + 1 - right_first, get(out.left, node))
        put(room.heights, depth + 1 - right_first, left)
        put(room.stack, depth + right_first, get(out.right, node))
        put(room.heights, depth + right_first, right)
        depth += 2
    return count


@part
def _branch(out: Any, node: int, vector: Any, dim: int, room: Any, text: int) -> None:
    """Works out the two branches of `node`, once a text."""
    if get(room.known, node) == text:
        return
    put(room.known, node, text)
    value = _dot(out, node - out.labels, vector, dim)
    right = np.float32(1.0 / np.float64(np.float32(1) + np.exp(-value)))
    put(room.branches, 2 * node, _log(np.float32(1.0 - np.float64(right))))
    put(room.branches, 2 * node + 1, _log(right))
