"""Conversations for fine-tuning: one canonical form, read from and written to the layouts that trainers know.

canonical.py    the form, its JSON, its text
layouts.py      what each layout is called and by which fields it is known
turns_in.py     turns of any layout -> turns of the form
reading.py      a record of some layout -> conversations
reader.py       which layout a file has, and what becomes of a record that does not fit
texts.py        JSON inside text fields: the value, and how it was spelled
turns.py        row steps on turns
writing.py      conversations -> the fields of a layout
tables_out.py   the same of tables, and the columns that these have
snippets.py     what trainers must be told of a corpus
options.py      what a recipe says about layouts, turns and parts, checked
rendered.py     `chat:` of a recipe, with its template
"""
