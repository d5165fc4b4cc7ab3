"""Output shards of tokens: documents encoded, packed if asked, written as a training library reads them.

sequences   texts -> one stream of ids, cut into sequences; which run of it is which document
trained     documents as marked tokens; of conversations, what is trained on
formats     a shard in each format: parquet-tokens, megatron, mds, litdata, nanotron; and read back
publish     one output shard: its token file(s) and documents/SPLIT/part-00000.parquet, all that is known of its documents
indexes     index.json of a whole split, where a format has one
options     what a recipe says of it, checked
"""

FORMATS = ("parquet-tokens", "megatron", "mds", "litdata", "nanotron")
"""Formats that hold tokens; all others hold texts."""

DOCUMENTS = "documents"
"""The folder that tells, for corpora of tokens, what each document is and where its tokens stand."""
