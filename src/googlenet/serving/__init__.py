"""The HTTP service: images in, predictions out, in batches."""
