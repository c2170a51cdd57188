"""Results in the units that they were measured in, and on the scales that laws are fitted on."""
