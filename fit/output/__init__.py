"""A fit for readers: its record, its words, its terminal table, its page."""
