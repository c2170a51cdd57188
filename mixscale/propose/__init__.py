"""First settings for a folder of text, from a look at it: corpus.yaml, experiment.yaml, run.yaml."""
