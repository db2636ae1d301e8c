"""The long-lived process that reads the log and runs streams, join and sinks."""
