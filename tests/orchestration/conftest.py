"""A small algorithm, materialized once through Dagster, for the tests that follow its runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from saima.settings import ROOT, Settings, settings
from saima.stores import open_registry, open_tables
from saima.stores.interfaces import Registry, Tables


@dataclass(frozen=True)
class Shop:
    """Definitions of the algorithm `shop`, an instance of Dagster, and the stores."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    settings: Settings
    registry: Registry
    tables: Tables

    def run(self, job: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """Run a job here."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False
        )


@contextmanager
def housed(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An algorithm of this folder in a home of its own, with nothing materialized."""
    home, root = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("algorithms")
    shutil.copytree(Path(__file__).parent / name, root / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAIMA_HOME", str(home))
        patch.setenv("SAIMA_ALGORITHMS", str(root))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        (home / "dagster").mkdir()
        shutil.copyfile(ROOT / "orchestration" / "dagster.yaml", home / "dagster" / "dagster.yaml")
        settings.cache_clear()
        from orchestration.definitions import definitions

        with dg.DagsterInstance.get() as instance:
            yield Shop(definitions(), instance, settings(), open_registry(settings()), open_tables(settings()))
    settings.cache_clear()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The algorithm `shop`, with nothing materialized."""
    with housed("shop", tmp_path_factory) as made:
        yield made
