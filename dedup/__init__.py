"""Decisions that need other documents: exact and near-duplicates, survivors, held-out joins.

Pure functions over numpy and Arrow: no files, no engine, no recipe. In reading order: `shingles` (what is
compared), `exact` and `minhash` (how candidates are found), `candidates`, `similarity` (what is true of
them), `survivors` (who stays), `join` (the same question against a small held-out side)."""
