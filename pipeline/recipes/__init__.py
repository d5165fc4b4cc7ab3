"""What a user writes, read and checked: the page, its steps, what they resolve to."""
