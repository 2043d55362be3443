"""A trained model outside of training: fused, exported, quantized, run by other engines."""
