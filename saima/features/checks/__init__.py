"""Checks of a declaration and trials of what it computes."""
