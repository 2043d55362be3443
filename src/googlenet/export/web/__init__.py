"""The classifier as a web page that computes on the visitor's own device."""
