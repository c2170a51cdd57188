"""The optimum of the measured scales projected to other token budgets."""
