"""Shards: tar files of images, their index, where they are, and how they are written."""
