"""The samples of a run: streams, their order, batches."""
