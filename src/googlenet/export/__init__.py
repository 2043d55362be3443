"""A trained model outside of training: folded, exported, quantised, run by other engines."""
