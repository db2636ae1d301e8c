"""The example configuration, its resources, and tiny models of each kind that it names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

EXAMPLE = """<?xml version="1.0" encoding="UTF-8"?>
<!-- A configuration in the XML form that the importer reads. The spelling "asyc" is the format's own. -->
<prediction>
  <feature_tables>
    <table name="live_user_actions" alias="u_act" tag="user" key="user_id"/>
    <table name="live_user_counters" alias="u_rt" tag="user" key="user_id" subkey="1"/>
    <table name="live_room_static" alias="room" tag="item" key="item_id" cache_time="3600" cache_size="500000" query_type="asyc"/>
    <table name="live_room_promotion" alias="promo" tag="item" key="item_id" cache_time="600" cache_size="100000" query_type="sync"/>
  </feature_tables>
  <feature_extract_config cache="true" log_level="2" log_echo="false" version="2">
    <fea name="is_followed" dataType="int64" default="0L" extractor="StringHit($item_id, $u_act.followed_rooms)"/>
    <fea name="rt_counts" dataType="int64" default="LongArray(0, 4)" extractor="RtFeature($u_rt.counts, 1)"/>
    <fea name="shown" dataType="int64" default="0" extractor="ReadIntVec($rt_counts, 0)"/>
    <fea name="clicked" dataType="int64" default="0" extractor="ReadIntVec($rt_counts, 1)"/>
    <fea name="shown_level" dataType="int64" default="0" extractor="Bucket($shown, $bucket.shown)"/>
    <fea name="click_rate" dataType="float" default="0.0" extractor="Smooth($clicked, $shown, 1.0, 500.0, 100.0)"/>
    <fea name="hour_of_day" dataType="int64" default="0L" extractor="Hour()"/>
    <fea name="room_tags" dataType="int64" default="0L" extractor="Long2ID($room.tags, 0L, $vocab.room_tags)"/>
  </feature_extract_config>
  <model_list>
    <id model_name="ctr" model_type="mdl" input_type="tensor" out_names="probability" separator=";"/>
    <id model_name="stay" model_type="mdl" input_type="example" out_aliases="seconds" separator=";" signature="serving_default"/>
    <id model_name="gift" model_type="pb" input_type="tensor" out_names="amount;confidence" separator=";"/>
  </model_list>
</prediction>
"""  # noqa: E501  as it stands in the example


def models(place: Path) -> None:
    """ctr: a SavedModel over tensors; stay: one over examples; gift: a frozen graph with two outputs."""
    from saima.learning.trainers.runtime import tensorflow

    tf = tensorflow()
    place.mkdir(parents=True, exist_ok=True)

    def ctr(is_followed: Any, click_rate: Any, room_tags: Any) -> dict[str, Any]:
        tags = tf.reduce_sum(tf.cast(room_tags, tf.float32), axis=1, keepdims=True)
        return {"probability": tf.cast(is_followed, tf.float32) * 0.5 + click_rate * 0.01 + tags * 0.001}

    def stay(examples: Any) -> dict[str, Any]:
        parsed = tf.io.parse_example(
            examples,
            {"click_rate": tf.io.FixedLenFeature([], tf.float32), "rt_counts": tf.io.RaggedFeature(tf.int64)},
        )
        return {"time": parsed["click_rate"] + tf.cast(tf.reduce_sum(parsed["rt_counts"], axis=1), tf.float32)}

    save(place / "ctr", ctr, {"is_followed": ("int64", 1), "click_rate": ("float32", 1), "room_tags": ("int64", None)})
    save(place / "stay", stay, {"examples": ("string", ())})
    v1 = tf.compat.v1
    with v1.Graph().as_default() as graph:
        shown = v1.placeholder("int64", (None, 1), name="shown")
        level = v1.placeholder("int64", (None,), name="shown_level")
        total = v1.cast(v1.reduce_sum(shown, axis=1) + level, "float32")
        v1.identity(total, name="amount")
        v1.multiply(total, 0.5, name="confidence")
        (place / "gift.pb").write_bytes(graph.as_graph_def().SerializeToString())


def save(place: Path, function: Any, inputs: dict[str, tuple[str, Any]]) -> None:
    from saima.learning.trainers.runtime import tensorflow

    tf = tensorflow()
    specs = {
        name: tf.TensorSpec((None,) if size == () else (None, size), dtype, name=name)
        for name, (dtype, size) in inputs.items()
    }
    serve = tf.function(lambda **given: function(**given)).get_concrete_function(**specs)
    tf.saved_model.save(tf.Module(), str(place), signatures={"serving_default": serve})


def resources(place: Path, with_models: bool = False) -> Path:
    """The folder that `--resources` names."""
    (place / "buckets").mkdir(parents=True)
    (place / "buckets" / "shown.txt").write_text("1, 10, 100\n")
    (place / "vocabularies").mkdir()
    (place / "vocabularies" / "room_tags.txt").write_text("7\n9\t5\n")
    if with_models:
        models(place / "models")
    return place


@pytest.fixture(scope="session")
def example() -> SimpleNamespace:
    """The example and the makers of what it refers to."""
    return SimpleNamespace(text=EXAMPLE, resources=resources, models=models)
