"""What is wrong with a data set, before a network learns it.  Knows of no network."""
