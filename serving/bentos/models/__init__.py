"""The service that scores with models for other hosts."""
