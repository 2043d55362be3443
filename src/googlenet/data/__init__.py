"""From a name to labelled photos: folders, CSV files, built-in sets.  Knows of no network."""
