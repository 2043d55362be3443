"""Operators in C++ for the CPU, built when first needed; PyTorch's own where that cannot be."""
