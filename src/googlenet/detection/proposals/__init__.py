"""Regions that may hold an object, whatever its class: what the region classifier looks at."""
