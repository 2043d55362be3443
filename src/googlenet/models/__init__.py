"""The networks in plain PyTorch, their tables and their costs."""
