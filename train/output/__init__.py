"""Tables and sentences about plans, sweeps and runs, for people."""
