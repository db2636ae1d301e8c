"""Windowed aggregation on tiles: shared definitions, two backends with equal results, tumbling windows."""
