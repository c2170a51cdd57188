"""The mixture of a fit written into the stream proportions of a `run.yaml`."""
