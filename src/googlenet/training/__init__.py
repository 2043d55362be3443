"""Recipes, schedules, averaging and the loop that puts them to work on a data set."""
