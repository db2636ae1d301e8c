"""From recorded events to a routed version and its retrains, through Dagster, on a small algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
import pytest

from assets import retrains
from orchestration.bootstrap import bootstrap
from orchestration.sensors import bind_and_release, failed_runs
from saima.decisions import retrain
from saima.host.bundle import Bundle
from saima.routing.deployment import read_document, rollback, write

if TYPE_CHECKING:
    from tests.orchestration.conftest import Shop

LABEL_MS = 5_000


def routed(shop: Shop) -> int | None:
    return read_document(shop.registry.deployment().document).lineage("shop", "plain").routed


def append_live(shop: Shop, rows: int, **changes: pl.Expr) -> None:
    """Samples as the stream worker appends them, after those that are there, and the fact that it keeps."""
    table = shop.tables.scan("shop/samples").collect()
    first, newest = int(table["offset"].max()) + 1, int(table["label_time"].max())  # type: ignore[arg-type, call-overload]
    live = table.filter(pl.col("offset") == 0).tail(rows).with_row_index("i", offset=1)
    live = live.with_columns(
        trace=pl.format("live-{}-{}", pl.lit(first), "i"),
        offset=first + pl.col("i").cast(pl.Int64),
        label_offset=first + pl.col("i").cast(pl.Int64),
        label_time=newest + pl.col("i").cast(pl.Int64) * 1000,
        label_appended=LABEL_MS + first + pl.col("i").cast(pl.Int64),
        **changes,
    ).drop("i")
    shop.tables.append("shop/samples", live)
    table = shop.tables.scan("shop/samples").filter(pl.col("offset") > 0).collect()
    shop.registry.put_fact(
        "samples/shop",
        {
            "count": table.height,
            "newest_label_time": table["label_time"].max(),
            "newest_offset": table["offset"].max(),
            "newest_appended": table["label_appended"].max(),
        },
    )


def tick(shop: Shop, name: str = "shop_samples") -> list[dg.RunRequest]:
    """Run requests of one tick of a sensor."""
    sensor = shop.definitions.resolve_sensor_def(name)
    with dg.build_sensor_context(instance=shop.instance, resources=resources(shop)) as context:
        return list(sensor.evaluate_tick(context).run_requests or [])


def marks(shop: Shop) -> list[dict[str, Any]]:
    return [
        {name: mark.get(name) for name in ("outcome", "trigger", "samples")} for mark in shop.registry.marks("retrain")
    ]


def test_the_bootstrap_ends_with_a_routed_version(shop: Shop) -> None:
    bootstrap("shop", shop.settings, shop.instance, shop.definitions)
    assert routed(shop) == 1
    samples = shop.tables.scan("shop/samples").collect()
    # Payments of the last hour come after the history's end.
    assert samples.height == 1728 - 36
    assert set(samples["offset"]) == {0}
    assert samples["trace"].n_unique() == samples.height
    assert shop.tables.version("events/asked") == 0, "two days of history are one commit"
    assert shop.registry.claims() == []
    assert marks(shop) == []
    end = {"end": 1_700_006_400_000 + 2 * 86_400_000}
    assert shop.registry.facts("history/") == {"history/asked": end, "history/paid": end}
    trained = shop.registry.fact("trained/shop/plain") or {}
    assert (trained["count"], trained["publication"], trained["outcome"]) == (0, 1, "routed")
    assert (shop.settings.home / "reports" / "shop" / "prices.html").read_text().startswith("<!doctype html>")


def test_history_knows_nothing_of_the_future(shop: Shop) -> None:
    """A naive program over the events gives the same windows."""
    paid = shop.tables.scan("events/paid").collect()
    features = shop.tables.scan("shop/history_features").collect().sort("time")
    asked = shop.tables.scan("events/asked").collect()
    for row in features.sample(20, seed=1).iter_rows(named=True):
        store = asked.filter(pl.col("key") == row["trace"])["shop"][0]
        minute, window = 60_000, 6 * 3_600_000
        lower = (row["time"] - window) // (5 * minute) * (5 * minute)
        seen = paid.filter((pl.col("shop") == store) & pl.col("time").is_between(lower, row["time"], closed="left"))
        assert row["shop_count"] in (seen.height, paid_within(paid, store, row["time"], window))


def paid_within(paid: pl.DataFrame, store: str, q: int, window: int) -> int:
    return paid.filter((pl.col("shop") == store) & pl.col("time").is_between(q - window, q, closed="left")).height


def test_the_bundle_answers_its_golden_requests(shop: Shop) -> None:
    row = shop.registry.bundle(1)
    bundle = Bundle.open(row.path)
    bundle.check_golden()
    assert bundle.manifest.evaluation["passed"]
    assert set(bundle.manifest.models) == {"trees"}


def test_new_samples_make_one_run_that_routes_a_refresh(shop: Shop) -> None:
    assert tick(shop) == []
    append_live(shop, 60)
    [request] = tick(shop)
    assert tick(shop) == [], "the claim covers these samples"
    assert request.job_name == "shop_plain_retrain"
    assert request.run_key == f"plain-{shop.registry.claims()[0].position}-0"
    result = shop.run(request.job_name, dict(request.tags))
    assert result.success
    assert routed(shop) == 2
    assert marks(shop) == [{"outcome": "routed", "trigger": "samples", "samples": 60}]
    mark = shop.registry.marks("retrain")[0]
    assert mark["label_appended"] == mark["trigger_appended"] == LABEL_MS + mark["position"]
    assert shop.registry.claims() == []
    assert tick(shop) == [], "nothing is new"


def test_a_run_by_hand_is_refused_while_another_has_the_lineage(shop: Shop) -> None:
    claim = shop.registry.claim("shop/plain", 0, "samples", 60)
    assert claim is not None
    shop.registry.bind(claim.token, "somebody else")
    assert not shop.run("shop_plain_retrain").success
    assert routed(shop) == 2
    shop.registry.release(claim.token)


def test_a_run_whose_claim_has_ended_does_nothing(shop: Shop) -> None:
    claim = shop.registry.claim("shop/plain", 0, "samples", 60)
    assert claim is not None
    shop.registry.release(claim.token)
    assert not shop.run("shop_plain_retrain", retrain.tags("shop", "plain", claim)).success
    assert routed(shop) == 2


def test_bad_samples_are_blocked_and_the_place_is_given_back(shop: Shop) -> None:
    """The gate stops the run; the failure sensor records it; the same samples are tried again later, not at once."""
    before = shop.tables.version("shop/samples")
    append_live(shop, 60, label=pl.lit(1e6))
    [request] = tick(shop)
    result = shop.run(request.job_name, dict(request.tags))
    assert not result.success
    assert routed(shop) == 2
    assert [claim.run_id for claim in shop.registry.claims()] == [result.run_id]
    failure = next(event for event in result.all_events if event.event_type == dg.DagsterEventType.RUN_FAILURE)
    context = dg.build_run_status_sensor_context(
        "failed_runs", failure, shop.instance, shop.instance.get_run_by_id(result.run_id), resources=resources(shop)
    ).for_run_failure()
    failed_runs(context)
    assert shop.registry.claims() == []
    assert marks(shop)[-1]["outcome"] == "failed"
    shop.tables.replace("shop/samples", shop.tables.scan("shop/samples", before).collect())


def resources(shop: Shop) -> dict[str, Any]:
    from orchestration.resources import resources as all_resources

    return {"stores": all_resources(str(shop.settings.home))["stores"]}


def test_a_lost_run_gives_its_place_back(shop: Shop) -> None:
    claim = shop.registry.claim("shop/plain", 0, "samples", 60)
    assert claim is not None
    shop.registry.bind(claim.token, "00000000-0000-0000-0000-000000000000")
    bind_and_release(shop.instance, resources(shop)["stores"])
    assert shop.registry.claims() == []


def test_after_a_rollback_a_retrain_is_held(shop: Shop) -> None:
    write(shop.registry, rollback("shop", "plain", "worse"), "person", "rollback")
    append_live(shop, 60)
    assert tick(shop) == []
    assert shop.run("shop_plain_retrain").success
    assert routed(shop) == 1
    assert marks(shop)[-1] == {"outcome": "held", "trigger": "manual", "samples": 60 + 60}


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED])
def test_a_killed_bootstrap_is_shown_as_failed(shop: Shop, status: dg.DagsterRunStatus) -> None:
    from orchestration.bootstrap import end_interrupted

    job = shop.definitions.resolve_job_def("shop_bootstrap")
    run = shop.instance.create_run_for_job(job, status=status)
    end_interrupted(shop.instance, "shop_bootstrap")
    found = shop.instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE


def test_old_trainings_go(shop: Shop) -> None:
    folder = shop.settings.home / "training" / "shop"
    kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    retrains.tidy(folder, keep=kept[0], newest=1)
    assert set(folder.iterdir()) == {kept[0], kept[-1]}


@pytest.mark.full
def test_the_full_validation_agrees_with_the_gate(shop: Shop) -> None:
    """Great Expectations, on the same suite; parity and hand-over say that nothing has been journalled or streamed."""
    result = shop.run("shop_validation", {"saima/nice": "0"})
    assert {each.check_name: each.passed for each in result.get_asset_check_evaluations()} == {
        "validation_samples": True,
        "parity": True,
        "handover": True,
    }
