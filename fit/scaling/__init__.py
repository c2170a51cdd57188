"""The optimum of the measured scales carried to other token budgets."""
