"""How good a model is: errors by views and ensembles, the report."""
