"""Trained networks in the form in which they are used."""
