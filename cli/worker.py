"""`saima worker`: a stream worker in the foreground."""

from __future__ import annotations

import sys

import click


@click.command("worker")
@click.option("--shard", default=0, show_default=True, help="Which shard; one process a shard.")
def worker(shard: int) -> None:
    """Run a stream worker until Ctrl-C or SIGTERM, which end it after a last drain."""
    from saima.worker.main import main

    sys.exit(main(["--shard", str(shard)]))
