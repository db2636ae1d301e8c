"""`saima key`: a new key for the host's API, and what the settings keep of it."""

from __future__ import annotations

import json
import secrets

import click


@click.command("key")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True,
              help="predict, events, admin or features:<pattern of names>; as often as needed.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Key and setting for a program.")
def key(name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a key for the caller NAME. It is shown once; saima.toml holds its hash."""
    from pydantic import ValidationError

    from saima.errors import SaimaError
    from saima.host.access import key_digest
    from saima.settings import ApiKey

    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise SaimaError(f"'{name}' is no name for a caller: write letters, digits, - and _")
    made = secrets.token_urlsafe(32)
    try:
        kept = ApiKey(key_sha256=key_digest(made), scopes=list(scopes))
    except ValidationError as error:
        wrong = error.errors()[0]
        raise SaimaError(f"--scope {wrong['input']}: write predict, events, admin or features:<pattern>") from error
    if as_json:
        click.echo(json.dumps({"name": name, "key": made, **kept.model_dump()}))
        return
    click.echo(f"the key, shown only here: {made}")
    click.echo("add to saima.toml, and start the host again:\n")
    click.echo(f'[api_keys.{name}]\nkey_sha256 = "{kept.key_sha256}"\nscopes = {json.dumps(kept.scopes)}')
