"""`saima bundle`: build, sign and publish a version of an algorithm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from saima.stores.interfaces import BundleRow


@click.command("bundle")
@click.argument("algorithm", required=False)
@click.option("--lineage", help="Which lineage; needed where several have been published.")
@click.option("--json", "as_json", is_flag=True, help="What was built, for a program.")
@click.option(
    "--new-key", type=click.Path(path_type=Path), help="Instead: write a new signing key, show its public one."
)
def bundle(algorithm: str | None, lineage: str | None, as_json: bool, new_key: Path | None) -> None:
    """Build ALGORITHM as it is declared now, with the models of its newest bundle, and publish it.

    Models that were all made elsewhere are taken from the algorithm's folder. Where the setting signing_key names a
    private key, the bundle is signed. `saima deploy` routes what was published.
    """
    from saima.errors import SaimaError
    from saima.settings import settings

    if new_key is not None:
        from saima.host.signature import new_key as make

        public = make(new_key)
        shown = json.dumps({"path": str(new_key), "public": public})
        click.echo(shown if as_json else f'trusted_keys = ["{public}"]')
        return
    if algorithm is None:
        raise SaimaError("say which algorithm to build: `saima bundle <algorithm>`")
    row = _build(algorithm, lineage)
    signed = settings().signing_key is not None
    document = {
        "publication": row.publication,
        "algorithm": row.algorithm,
        "lineage": row.lineage,
        "tag": row.tag,
        "digest": row.digest,
        "path": row.path,
        "signed": signed,
    }
    words = f"publication {row.publication}: {row.tag}{', signed' if signed else ''}"
    click.echo(
        json.dumps(document) if as_json else f"{words}; route it with: saima deploy {algorithm} {row.publication}"
    )


def _build(algorithm: str, lineage: str | None) -> BundleRow:
    from saima.features import load
    from saima.settings import settings
    from saima.stores import open_registry
    from serving.imports import publish_models
    from serving.rebuilding import rebuild

    loaded = load(algorithm, settings().algorithms)
    if all(model.file is not None for model in loaded.declaration.models.values()):
        return publish_models(loaded, settings())
    return rebuild(loaded, lineage, open_registry(settings()), settings())
