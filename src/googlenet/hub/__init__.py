"""Folders and repositories of models, as Hugging Face has them."""
