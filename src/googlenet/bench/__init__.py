"""Benchmarks against the alternatives, interleaved in one run."""
