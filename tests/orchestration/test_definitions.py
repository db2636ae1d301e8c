"""What Dagster is told: a whole graph with names and owners, loaded fast, valid from the workspace file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml

from orchestration.definitions import definitions
from saima.settings import ROOT, settings

SNAPSHOT = Path(__file__).parent / "asset_graph.json"
HEAVY = ("tensorflow", "xgboost", "great_expectations", "dagster_k8s", "bentoml", "matplotlib", "pandas", "scipy")


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    settings.cache_clear()
    return definitions()


def graph(defs: dg.Definitions) -> dict[str, dict[str, object]]:
    nodes = defs.resolve_asset_graph().asset_nodes
    return {
        node.key.to_user_string(): {
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "after": sorted(key.to_user_string() for key in node.parent_keys),
            "partitioned": node.partitions_def is not None,
            "materializable": node.is_materializable,
            "checks": sorted(key.name for key in node.check_keys),
        }
        for node in sorted(nodes, key=lambda node: node.key)
        if node.key.path[0] in ("flight_delay", "fashion_ranking", "matches")
    }


def test_the_asset_graph_is_the_recorded_one(defs: dg.Definitions) -> None:
    """To renew the record: `SAIMA_SNAPSHOT=1 pytest tests/orchestration/test_definitions.py`; then read the diff."""
    found = graph(defs)
    if os.environ.get("SAIMA_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(SNAPSHOT.read_text())


def test_every_asset_has_what_a_person_needs(defs: dg.Definitions) -> None:
    for node in defs.resolve_asset_graph().asset_nodes:
        assert node.description, node.key
        assert node.owners, node.key
        assert node.kinds, node.key
        assert node.group_name != "default", node.key


def test_every_table_shows_its_columns(defs: dg.Definitions) -> None:
    for node in defs.resolve_asset_graph().asset_nodes:
        if "table" in node.metadata:
            assert _schema(node), node.key


def test_features_know_the_events_that_they_come_from(defs: dg.Definitions) -> None:
    node = defs.resolve_asset_graph().get(dg.AssetKey(["flight_delay", "history_features"]))
    found = node.metadata["dagster/column_lineage"]
    lineage = getattr(found, "value", found).deps_by_column
    assert set(lineage) == {column.name for column in _schema(node)} - {"trace", "time", "day"}
    origins = {(dep.asset_key.path[-1], dep.column_name) for dep in lineage["dep_route_mean_6h"]}
    assert origins == {("history_flight_departed", name) for name in ("time", "dep_delay", "origin", "carrier")}
    origins = {(dep.asset_key.path[-1], dep.column_name) for dep in lineage["weather_age"]}
    assert ("history_weather_observed", "observed_at") in origins


def test_a_ranked_item_comes_from_the_exposures(defs: dg.Definitions) -> None:
    node = defs.resolve_asset_graph().get(dg.AssetKey(["fashion_ranking", "history_features"]))
    found = node.metadata["dagster/column_lineage"]
    lineage = getattr(found, "value", found).deps_by_column
    origins = {(dep.asset_key.path[-1], dep.column_name) for dep in lineage["item_number"]}
    assert origins == {("history_impression", "item_id")}
    origins = {(dep.asset_key.path[-1], dep.column_name) for dep in lineage["affinity_category"]}
    assert ("history_ranking_asked", "affinity") in origins
    assert ("history_item_listed", "like_category") in origins


def _schema(node: object) -> list[dg.TableColumn]:
    found = node.metadata["dagster/column_schema"]  # type: ignore[attr-defined]
    return list(getattr(found, "value", found).columns)


def test_near_real_time_assets_have_a_freshness_policy(defs: dg.Definitions) -> None:
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    live = [name for name in specs if name.startswith("flight_delay/events_")] + ["flight_delay/samples"]
    assert len(live) == 5
    assert all(specs[name].freshness_policy for name in live)


def test_a_retrain_carries_out_no_check_but_its_own(defs: dg.Definitions) -> None:
    job = defs.resolve_job_def("flight_delay_xgb_retrain")
    names = {key.name for key in job.asset_layer.asset_graph.asset_check_keys}
    assert names == {"gate_delay_samples", "beats_champion"}
    steps = {key.path[-1] for key in job.asset_layer.selected_asset_keys}
    assert steps == {"delay_xgb", "evaluation_xgb", "bundle_xgb", "deployment_xgb"}


def test_hyper_parameters_are_described(defs: dg.Definitions) -> None:
    steps = {node.name: node for node in defs.resolve_job_def("flight_delay_fusion_retrain").graph.node_defs}
    for name in ("flight_delay__delay_xgb", "flight_delay__delay_net"):
        fields = steps[name].config_schema.config_type.fields
        assert len(fields) > 10
        assert all(field.description for field in fields.values()), name


def test_definitions_load_nothing_heavy() -> None:
    """Every run is a new process and would pay for it."""
    code = f"import sys, orchestration.definitions; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_workspace_file_is_valid(tmp_path: Path) -> None:
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr
    assert "Validation successful for code location saima" in found.stdout + found.stderr


def test_the_instance_files_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster._config import validate_config
    from dagster._core.instance.config import dagster_instance_config, dagster_instance_config_schema

    (tmp_path / "dagster.yaml").write_text((ROOT / "orchestration" / "dagster.yaml").read_text())
    dagster_instance_config(str(tmp_path))
    from dagster_k8s import K8sRunLauncher
    from dagster_postgres.utils import pg_config

    for name, value in {"USER": "u", "PASSWORD": "p", "HOST": "h"}.items():
        monkeypatch.setenv(f"SAIMA_POSTGRES_{name}", value)
    document = yaml.safe_load((ROOT / "orchestration" / "kubernetes" / "dagster.yaml").read_text())
    for schema, part in (
        (dg.Shape(dagster_instance_config_schema()), document),
        (dg.Shape(K8sRunLauncher.config_type()), document["run_launcher"]["config"]),
        (dg.Shape(pg_config()), document["storage"]["postgres"]),
    ):
        checked = validate_config(schema, part)
        assert checked.success, checked.errors


def test_reports_follow_the_samples_every_ten_minutes(defs: dg.Definitions) -> None:
    report, samples = (dg.AssetKey(["flight_delay", name]) for name in ("ab_report_fusion", "samples"))
    cursor = None
    asked = []
    changed = {(6, 0), (15, 0)}
    with dg.DagsterInstance.ephemeral() as instance:
        for minute, second in ((5, 0), (6, 0), (9, 50), (10, 20), (10, 50), (15, 0), (20, 10), (30, 10)):
            if (minute, second) in changed:
                instance.report_runless_asset_event(dg.AssetMaterialization(samples))
            found = dg.evaluate_automation_conditions(
                defs=defs,
                instance=instance,
                asset_selection=dg.AssetSelection.assets(report),
                evaluation_time=datetime(2026, 1, 1, 12, minute, second, tzinfo=UTC),
                cursor=cursor,
            )
            cursor = found.cursor
            if found.total_requested:
                asked.append(minute)
    assert asked == [10, 20], "once after each change, and not at the third tick, before which nothing had changed"
