"""Order words put documents in the order that the keep policy says."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.matching.policy import order_words, policy_columns, ranks, word_count

FEATURES = pa.table(
    {
        "key0": pa.array([5, 5, 1, 3], pa.uint64()),
        "key1": pa.array([1, 0, 9, 3], pa.uint64()),
        "chars": pa.array([10, 30, 20, 30], pa.int64()),
        "date": ["2024-05", None, "2025-01-01T00:00:00Z", "soon"],
        "source": ["b", "a", "c", "a"],
        "signal.q": [float("nan"), 0.5, None, -0.1],
    }
)


@pytest.mark.parametrize(
    ("keep", "first_to_last"),
    [
        (None, [2, 3, 1, 0]),
        (["longest"], [3, 1, 2, 0]),
        (["shortest"], [0, 2, 3, 1]),
        (["newest"], [2, 0, 3, 1]),
        (["oldest"], [0, 2, 3, 1]),
        ([{"best": "q"}], [1, 3, 2, 0]),
        ([{"worst": "q"}], [3, 1, 2, 0]),
        ([{"source": ["a", "b"]}], [3, 1, 0, 2]),
        ([{"source": ["a"]}, "oldest"], [3, 1, 0, 2]),
        (["longest", {"worst": "q"}], [3, 1, 2, 0]),
        (["longest", {"best": "q"}], [1, 3, 2, 0]),
    ],
)
def test_policies(keep, first_to_last):
    words = order_words(keep, FEATURES.select(["key0", "key1", *policy_columns(keep)]))
    assert words.shape == (4, word_count(keep))
    assert np.argsort(ranks(words, np.arange(4, dtype=np.uint64))).tolist() == first_to_last


def test_equal_words_go_by_document_number():
    words = np.zeros((3, 2), np.uint64)
    assert ranks(words, np.array([7, 3, 5], np.uint64)).tolist() == [2, 0, 1]


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20), st.sampled_from(["best", "worst"]))
def test_floats_keep_their_order(values, side):
    table = pa.table(
        {"key0": np.zeros(len(values), np.uint64), "key1": np.zeros(len(values), np.uint64), "signal.q": values}
    )
    word = order_words([{side: "q"}], table)[:, 0]
    signed = np.array(values) * (-1 if side == "best" else 1)
    for i in range(len(values)):
        assert ((signed < signed[i]) == (word < word[i])).all()
