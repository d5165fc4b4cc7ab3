"""Conversations for fine-tuning: one canonical form, read from and written to the layouts that trainers know.

canonical.py   the form, its JSON, its text
layouts.py     what each layout is called and by which fields it is known
reading.py     a record of some layout -> conversations
reader.py      which layout a file has, and what becomes of a record that does not fit
texts.py       JSON inside text fields: the value, and how it was spelled
"""
