"""The parts of a fit's page, a module each."""
