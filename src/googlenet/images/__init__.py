"""From bytes to pixels: decoding, preprocessing, views and augmentation.  Knows of no network."""
