"""Reads the XML form of a prediction's configuration and writes an algorithm's folder."""

from saima.importer.importer import Imported, import_file

__all__ = ["Imported", "import_file"]
