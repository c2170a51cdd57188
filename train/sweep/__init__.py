"""The runs of an experiment: designed, planned, run."""
