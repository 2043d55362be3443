"""From a name to labelled images: folders, CSV files, built-in sets.  Knows of no network."""
