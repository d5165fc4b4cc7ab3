"""Stages fit and refine: a shard in; documents, rejects and quarantine out."""
