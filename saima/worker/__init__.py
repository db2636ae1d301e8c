"""The long-lived process that reads the log and runs streams, join and sinks."""

from saima.worker.worker import Worker

__all__ = ["Worker"]
