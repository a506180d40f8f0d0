"""The paged key-value cache: blocks with reference counts, rows of them, prefixes shared by content."""
