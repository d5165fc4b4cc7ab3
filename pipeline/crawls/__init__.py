"""Common Crawl: its files by the crawl's name, and what its WAT files say of pages."""
