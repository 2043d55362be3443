"""A table of widths from correlation statistics (sections 2 and 3 of the paper)."""
