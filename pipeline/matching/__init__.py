"""Stages band, match, resolve and probe: which documents are duplicates, proven, and which of them stay."""
