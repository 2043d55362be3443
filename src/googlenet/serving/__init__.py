"""The HTTP service: photos in, answers out, in batches."""
