"""Which documents are kept where some pairs are of texts and some of documents. The twin is in tests/test_exact_kinds.py."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel


@kernel
def keyed_independent_set(node, ends, beside, key_ends, key_beside, kept, node_kept, why):
    """Takes documents by rank: one is kept unless an equal text, a document beside it by a key, or a similar text is
    kept already. `node` int64 (n): the text of each; `beside[ends[t] : ends[t + 1]]` the similar texts of text t;
    `key_beside[key_ends[d] : key_ends[d + 1]]` the documents of equal key of document d. Leaves `kept` (bool),
    `node_kept` int64 (n): the kept document of each text or -1, `why` uint8: 0 kept, 1 equal text, 2 key, 3 similar."""
    blocked = np.zeros(len(node), np.bool_)
    for doc in range(len(node)):
        text = node[doc]
        if node_kept[text] >= 0:
            why[doc] = 1
            continue
        for i in range(key_ends[doc], key_ends[doc + 1]):
            if kept[key_beside[i]]:
                why[doc] = 2
                break
        if why[doc]:
            continue
        if not blocked[text]:
            for i in range(ends[text], ends[text + 1]):
                if node_kept[beside[i]] >= 0:
                    blocked[text] = True
                    break
        if blocked[text]:
            why[doc] = 3
            continue
        kept[doc] = True
        node_kept[text] = doc
