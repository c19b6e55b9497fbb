"""Methods that leave a given number of weights, on the same problems and budgets."""
