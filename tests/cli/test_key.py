"""`saima key`."""

from __future__ import annotations

import json
import tomllib

import pytest
from click.testing import CliRunner

from cli.key import key
from saima.errors import SaimaError
from saima.host.access import caller_of
from saima.settings import ApiKey


def test_the_printed_setting_knows_the_printed_key() -> None:
    found = CliRunner().invoke(key, ["board", "--scope", "predict", "--scope", "features:toy.*"])
    head, _, setting = found.output.partition("\n\n")
    (made,) = (word for word in head.split() if len(word) == 43)
    known = {name: ApiKey(**one) for name, one in tomllib.loads(setting)["api_keys"].items()}
    assert caller_of(known, f"Bearer {made}", "10.0.0.1").scopes == ("predict", "features:toy.*")
    assert made not in setting


def test_as_json() -> None:
    found = json.loads(CliRunner().invoke(key, ["board", "--scope", "admin", "--json"]).output)
    kept = ApiKey(key_sha256=found["key_sha256"], scopes=found["scopes"])
    assert caller_of({found["name"]: kept}, f"Bearer {found['key']}", None).name == "board"


@pytest.mark.parametrize(
    ("arguments", "told"), [(["a b", "--scope", "admin"], "'a b'"), (["a", "--scope", "all"], "--scope all")]
)
def test_what_cannot_be_a_name_or_a_scope(arguments: list[str], told: str) -> None:
    with pytest.raises(SaimaError, match=told):
        CliRunner().invoke(key, arguments, catch_exceptions=False)
