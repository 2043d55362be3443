"""The report of a run: what a reader wants to see of it, on one page."""
