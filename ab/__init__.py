"""The experimentation platform: trust, statistics and reports of what an experiment's arms did."""
