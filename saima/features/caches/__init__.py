"""Caches of the rows of tables of the online store."""
