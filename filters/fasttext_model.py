"""Reads a fastText classifier (.bin or .ftz) and predicts with it: a column of texts in, labels and probabilities out.

    model = read_model("lid.176.ftz")
    found, probabilities = model.predict(pa.array(["Die Mühle mahlt."]), k=2)
    [model.labels[each] for each in found[0]]   ->   ["de", "lb"]        probabilities[0]   ->   [0.98, 0.01]

Read are files of version 11 and 12 (fastText since 2017) of a *supervised* model with any loss, quantised or not,
pruned or not. A matrix that is not quantised stays in the file (memory-mapped); a quantised one is decoded once, to
rows x dim x 4 bytes. Not covered: training, word vectors, models of other kinds.

Layout of the file and meaning of its numbers: the fastText library's own reader (MIT), src/args.cc, dictionary.cc,
densematrix.cc, quantmatrix.cc and productquantizer.cc. All numbers are little-endian.
"""

import functools
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from filters.registry import nearest
from filters.texts import find_buffers
from kernels import fasttext as kernels
from kernels import fasttext_features as features
from kernels import fasttext_labels as output
from kernels import fasttext_tables as tables

MAGIC = 793712314
NEWEST = 12  # file versions: 12 is written since 2017; a classifier of version 11 has no character n-grams
PREFIX = "__label__"
_SUPERVISED = 3
_LOSSES = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
_CENTROIDS = 256  # of each sub-quantiser: codes are bytes


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier, ready to predict. Safe to share between threads: what a call writes to belongs to its thread."""

    path: str
    labels: tuple[str, ...]  # without "__label__", in the file's order
    loss: str  # "hs" (hierarchical softmax), "softmax", "ova" or "ns"
    net: features.Net
    out: output.Out
    _thread: threading.local = field(default_factory=threading.local)

    def predict(self, texts: pa.Array | pa.ChunkedArray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The `k` best labels of each text: numbers int32 and probabilities float32, both of shape (n, k).

        As the library gives them for the text with line ends as spaces: best first, and -1 with 0.0 where there
        are fewer than `k` (the library does not name labels below 1e-5 in a hierarchical softmax). A
        probability can be 1.00001: the library adds 1e-5 before its logarithm. The GIL is released.
        """
        if k < 1:
            raise ValueError(f"predict: k is how many labels are wanted, 1 or more, not {k}")
        return self.predict_buffers(*text_buffers(texts), k)

    def predict_buffers(self, offsets: np.ndarray, data: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The same for what `text_buffers` gave."""
        if not hasattr(self._thread, "cache"):
            self._thread.cache = kernels.new_cache(self.net, self.out)
        return kernels.predict(self.net, self.out, self._thread.cache, offsets, data, k)


def text_buffers(array: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (int64, n + 1) and bytes (uint8) of a column of strings; a null is an empty text. See `Texts.buffers`."""
    offsets, data = find_buffers(array)
    return _fixed(offsets), _fixed(data)


def read_model(path: str | Path) -> Model:
    """The classifier in the file `path`.

    Errors: OSError; ValueError with a letter for a file that is no fastText model, is cut or broken, is newer
    than this reader, or holds word vectors.
    """
    source = _Source(Path(path))
    args = _read_arguments(source)
    words = _read_dictionary(source)
    rows, _ = _read_matrix(source, quantised=bool(source.number("<u1")), keep_in_file=True)
    quantised = source.quantised
    if len(words.pruned) and not quantised:
        raise source.broken("its n-grams are pruned, but its matrix is not quantised")
    weights, norms = _read_matrix(source, quantised=bool(source.number("<u1")) and quantised, keep_in_file=False)
    _check_shapes(source, args, words, rows, weights)
    rows, *buckets = _order_by_bucket(source, args, words, rows)
    return Model(
        str(path), words.labels, args["loss"], _net(args, words, rows, *buckets), _out(args, words, weights, norms)
    )


def _net(
    args: dict[str, Any], words: "_Words", rows: np.ndarray, buckets: np.ndarray, ranks: np.ndarray
) -> features.Net:
    magic, shift = tables.remainder_by(args["bucket"])
    table = tables.word_table(words.text, words.starts, words.ends)
    return features.Net(
        words=_fixed(np.concatenate((words.text, features.CONSTANTS))),
        starts=_fixed(words.starts),
        ends=_fixed(words.ends),
        table=_fixed(table),
        mask=len(table) - 1,
        constants=len(words.text),
        buckets=_fixed(buckets),
        ranks=_fixed(ranks),
        rows=_fixed(rows.reshape(-1)),
        dim=args["dim"],
        known=words.count,
        minn=args["minn"],
        maxn=args["maxn"],
        word_ngrams=args["word_ngrams"],
        bucket=args["bucket"],
        kept=words.kept,
        magic=magic,
        shift=shift,
    )


def _out(args: dict[str, Any], words: "_Words", weights: np.ndarray, norms: np.ndarray) -> output.Out:
    left, right = _tree(words.label_counts) if args["loss"] == "hs" else (np.zeros(0, np.int32),) * 2
    return output.Out(
        kind={"hs": output.TREE, "softmax": output.SOFTMAX}.get(args["loss"], output.SIGMOIDS),
        labels=len(words.labels),
        weights=_fixed(weights.reshape(-1)),
        norms=_fixed(norms),
        left=_fixed(left),
        right=_fixed(right),
        sigmoid=_fixed(output.SIGMOID),
    )


def _fixed(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to: numba compiles for it again otherwise."""
    array = array.view()
    array.flags.writeable = False
    return array


@dataclass(frozen=True)
class _Words:
    """The dictionary: words, then labels."""

    text: np.ndarray  # uint8, holds all of them
    starts: np.ndarray  # int64, one a word or label
    ends: np.ndarray
    count: int  # of words
    labels: tuple[str, ...]
    label_counts: np.ndarray  # int64: how often each label was seen in training
    kept: int  # n-gram buckets that pruning left; -1: the model is not pruned
    pruned: np.ndarray  # int32 (kept, 2): bucket, its row after those of the words


class _Source:
    """The bytes of a model file, read from front to end without copying them."""

    def __init__(self, path: Path) -> None:
        self.path, self.at, self.quantised = path, 0, False
        with path.open("rb") as stream:
            if stream.read(4) != MAGIC.to_bytes(4, "little"):
                raise ValueError(f"{str(path)!r} is no fastText model (the file does not begin with its magic number)")
        self.bytes = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
        self.at = 4

    def take(self, count: int, dtype: str) -> np.ndarray:
        """The next `count` numbers."""
        size = count * np.dtype(dtype).itemsize
        if count < 0 or size > len(self.bytes) - self.at:
            raise self.broken(f"it ends at byte {len(self.bytes)} where {count} numbers of type {dtype} should follow")
        self.at += size
        return self.bytes[self.at - size : self.at].view(dtype)

    def number(self, dtype: str) -> Any:
        return self.take(1, dtype)[0].item()

    def broken(self, what: str) -> ValueError:
        return ValueError(f"{str(self.path)!r} is a broken fastText model ({what}); get it again from its source")


def _read_arguments(source: _Source) -> dict[str, Any]:
    version = source.number("<i4")
    if version > NEWEST:
        raise ValueError(
            f"{str(source.path)!r} is a fastText model of version {version}; {NEWEST} is the newest that is known"
        )
    dim, _, _, _, _, word_ngrams, loss, kind, bucket, minn, maxn, _ = source.take(12, "<i4").tolist()
    source.take(1, "<f8")  # the sampling threshold of word vectors
    if kind != _SUPERVISED and kind in (1, 2):
        raise ValueError(
            f"{str(source.path)!r} is a fastText model without labels (word vectors, not a classifier); "
            f"train_supervised makes one with labels"
        )
    if kind != _SUPERVISED or loss not in _LOSSES or dim < 1 or bucket < 0:
        raise source.broken(f"kind {kind}, loss {loss}, {dim} dimensions, {bucket} buckets")
    maxn = 0 if version == 11 else maxn
    return {
        "dim": dim,
        "word_ngrams": max(1, word_ngrams),
        "loss": _LOSSES[loss],
        "bucket": bucket,
        "minn": minn,
        "maxn": max(0, maxn),
    }


def _read_dictionary(source: _Source) -> _Words:
    size, words, labels = source.take(3, "<i4").tolist()
    source.number("<i8")  # tokens seen in training
    kept = source.number("<i8")
    if min(size, words, labels) < 0 or size != words + labels or kept < -1:
        raise source.broken(f"a dictionary of {size} entries with {words} words and {labels} labels")
    if not labels:
        raise ValueError(f"{str(source.path)!r} is a fastText model without labels")
    if size > (len(source.bytes) - source.at) // 10:  # a zero byte, a count of 8, a kind of 1
        raise source.broken(f"a dictionary of {size} entries in a file of {len(source.bytes)} bytes")
    first = source.at
    text = source.bytes[first:]
    starts, ends, counts, kinds, length = tables.read_entries(text, size)
    source.at += length
    if length < 0:
        raise source.broken(f"it ends at byte {len(source.bytes)} inside its dictionary")
    if kinds[:words].any() or not (kinds[words:] == 1).all():
        raise source.broken("words and labels are mixed up in its dictionary")
    names = tuple(bytes(text[a:e]).decode("utf-8", "replace") for a, e in zip(starts[words:], ends[words:]))
    end = int(ends[-1])
    pruned = source.take(2 * max(0, kept), "<i4").reshape(-1, 2)
    return _Words(
        np.array(text[:end]),  # small: a copy, so that looking up words touches no file
        starts,
        ends,
        words,
        tuple(name.removeprefix(PREFIX) for name in names),
        counts[words:],
        kept,
        pruned,
    )


def _read_matrix(source: _Source, *, quantised: bool, keep_in_file: bool) -> tuple[np.ndarray, np.ndarray]:
    """A float32 matrix and a factor for each of its rows, already multiplied in if `keep_in_file` (the input matrix).

    The library multiplies a row of the input by its norm when it adds it, and a row of the output after the dot
    product: the last bits depend on it.
    """
    norms = np.ones(0, np.float32)
    if not quantised:
        height, width = source.take(2, "<i8").tolist()
        if height < 0 or width < 1:
            raise source.broken(f"a matrix of {height} rows and {width} columns")
        matrix = source.take(height * width, "<f4").reshape(height, width)
        return (matrix, norms) if keep_in_file else (np.array(matrix), np.ones(height, np.float32))
    source.quantised = True
    has_norms = bool(source.number("<u1"))
    height, width = source.take(2, "<i8").tolist()
    codes = source.take(source.number("<i4"), "<u1")
    matrix = _decode(source, codes, height, width)
    norms = np.ones(height, np.float32)
    if has_norms:
        codes = source.take(height, "<u1")
        norms = _decode(source, codes, height, 1)[:, 0].copy()
        if keep_in_file:
            matrix *= norms[:, None]
    return matrix, norms


def _decode(source: _Source, codes: np.ndarray, height: int, width: int) -> np.ndarray:
    """The float32 matrix that `codes` stand for in the product quantiser that follows in the file."""
    dim, parts, part, last = source.take(4, "<i4").tolist()
    if (
        dim != width
        or min(height, parts, part, last) < 1
        or (parts - 1) * part + last != dim
        or len(codes) != height * parts
    ):
        raise source.broken(f"{len(codes)} codes for a matrix of {height} rows and {width} columns")
    centroids = source.take(dim * _CENTROIDS, "<f4")
    codes = codes.reshape(height, parts)
    matrix = np.empty((height, width), np.float32)
    for number in range(parts):
        size = last if number == parts - 1 else part
        first = number * part
        table = centroids[first * _CENTROIDS : (first + size) * _CENTROIDS].reshape(_CENTROIDS, size)
        matrix[:, first : first + size] = table[codes[:, number]]
    return matrix


def _check_shapes(source: _Source, args: dict[str, Any], words: _Words, rows: np.ndarray, weights: np.ndarray) -> None:
    uses_buckets = (args["maxn"] > 0 or args["word_ngrams"] > 1) and words.kept != 0
    if uses_buckets and args["bucket"] == 0:
        raise source.broken("it has n-grams, but no buckets for them")
    needed = words.count + (args["bucket"] if words.kept < 0 and uses_buckets else max(0, words.kept))
    if len(rows) < needed or rows.shape[1] != args["dim"] or weights.shape != (len(words.labels), args["dim"]):
        raise source.broken(
            f"matrices of shapes {rows.shape} and {weights.shape} for {needed} rows of {args['dim']} columns"
        )


def _order_by_bucket(
    source: _Source, args: dict[str, Any], words: _Words, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with those of pruned buckets in the order of the buckets, and the bit set and ranks that say which are there."""
    if words.kept <= 0:
        return rows, np.zeros(0, np.uint64), np.zeros(0, np.int32)
    order = np.argsort(words.pruned[:, 0], kind="stable")
    bucket, row = words.pruned[order, 0].astype(np.int64), words.pruned[order, 1].astype(np.int64)
    if (
        bucket[0] < 0
        or bucket[-1] >= args["bucket"]
        or (np.diff(bucket) == 0).any()
        or row.min() < 0
        or row.max() >= words.kept
    ):
        raise source.broken("its pruned n-grams point outside of its buckets")
    moved = tables.aligned_zeros((words.count + len(row)) * rows.shape[1], np.float32).reshape(-1, rows.shape[1])
    moved[: words.count], moved[words.count :] = rows[: words.count], rows[words.count + row]
    return moved, *tables.bucket_ranks(bucket, args["bucket"])


def _tree(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right child of each node of the Huffman tree over labels, -1 for a leaf (int32, 2 * labels - 1).

    Leaves are the labels, most frequent first as they stand in the file; the root is the last node. Which of two
    equal counts is taken first decides how the output matrix is read: a node before a leaf.
    """
    leaves = len(counts)
    total = 2 * leaves - 1
    weight = counts.tolist() + [10**15] * (leaves - 1)
    children = np.full((2, total), -1, np.int32)
    leaf, node = leaves - 1, leaves
    for parent in range(leaves, total):
        pair = []
        for _ in range(2):
            if leaf >= 0 and weight[leaf] < weight[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        children[:, parent] = pair
        weight[parent] = weight[pair[0]] + weight[pair[1]]
    return children[0].copy(), children[1].copy()


def load(path: str, asked_by: str, advice: str = "") -> Model:
    """The classifier at `path`, read once a process. `asked_by` begins the letter of an error: "language", "classifier".

    Errors: FileNotFoundError with the nearest name; ValueError as from `read_model`.
    """
    file = Path(path)
    if not file.is_file():
        near = nearest(file.name, [each.name for each in file.parent.iterdir()] if file.parent.is_dir() else [])
        raise FileNotFoundError(f"{asked_by}: there is no model file {path!r}{near}{advice}")
    try:
        return _cached(path)
    except ValueError as error:
        raise ValueError(f"{asked_by}: {error}") from error


@functools.cache
def _cached(path: str) -> Model:
    return read_model(path)
