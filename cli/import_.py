"""`saima import`: an XML configuration becomes an algorithm."""

from __future__ import annotations

from pathlib import Path

import click

from cli.new import checked_name
from saima.settings import settings


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="Name of the algorithm.")
@click.option(
    "--resources",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of what the file refers to: buckets/, vocabularies/, models/, types.yaml.",
)
@click.option("--fuse", help="Expression that makes the score of the models' outputs, such as 'ctr.probability'.")
@click.option("--publish", is_flag=True, help="Bundle the models and publish the bundle as lineage 'imported'.")
def import_(file: Path, name: str, resources: Path | None, fuse: str | None, publish: bool) -> None:
    """Write algorithms/NAME from the XML configuration FILE. Overwrites nothing.

    An error shows file, line and column; then nothing is written.
    """
    from saima.importer import import_file

    folder = settings().algorithms / checked_name(name)
    imported = import_file(file, name, folder, resources, fuse)
    found = imported.algorithm
    declared = found.declaration
    counts = {"feature": len(found.plan.features), "table": len(declared.tables), "model": len(declared.models)}
    shown = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items())
    click.echo(f"wrote {folder}: {shown}")
    for note in imported.notes:
        click.echo(f"note: {note}")
    if publish:
        from serving.imports import publish_models

        row = publish_models(found)
        click.echo(f"published {row.tag} as bundle {row.publication}; route it: saima deploy {name} {row.publication}")
    else:
        click.echo(f"next: saima check {name}; saima explain {name}")
