"""Features of one request: read in one transaction, computed without frames, what stays the same kept."""
