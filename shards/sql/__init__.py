"""SQL over a shard set: the documents table, the DuckDB views, queries."""
