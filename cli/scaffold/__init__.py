"""Templates of `saima new`."""
