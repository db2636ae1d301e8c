"""The features of chosen rankings by a naive program: plain loops over the raw files, sharing nothing with the engine.

`make demo` and the tests hold the values that were served against it: a fact used before it was known, or a window
that is off by one, shows here and nowhere else. Hash buckets are left to the conformance cases of FarmHash.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import xxhash

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_TOKYO = timezone(timedelta(hours=9))
_FOLDER = Path(__file__).parent
_PRICES = [-0.8, -0.6, -0.4, -0.2, 0, 0.5, 1]
_WINDOWS = {"1h": (_HOUR, 5 * _MINUTE), "6h": (6 * _HOUR, 5 * _MINUTE), "1d": (_DAY, _HOUR), "3d": (3 * _DAY, _HOUR)}
Row = dict[str, Any]
Values = dict[str, float | int | None]


def expected(datasets: Path, traces: Iterable[str]) -> dict[str, dict[str, Values]]:
    """Feature values by trace, item and feature name; float32 features are rounded to float32."""
    wanted = set(traces)
    folder = Path(datasets) / "open_bandit"
    shown = [row for campaign in ("all", "men") for row in _impressions(folder, campaign)]
    clicked = [{**row, "time": row["time"] + _delay(row["trace"])} for row in shown if row["click"]]
    items = {campaign: _items(folder, campaign) for campaign in ("all", "men")}
    return {
        row["trace"]: _ranking(row, items[row["campaign"]], shown, clicked) for row in shown if row["trace"] in wanted
    }


def _impressions(folder: Path, campaign: str) -> Iterable[Row]:
    for policy in ("random", "bts"):
        for number, row in enumerate(pl.read_parquet(folder / f"{policy}_{campaign}.parquet").to_dicts()):
            traits = [row[f"user_feature_{place}"][:8] for place in range(4)]
            yield {
                "trace": xxhash.xxh3_128_hexdigest(f"{campaign}|{policy}|{number}".encode()),
                "time": int(row["timestamp"].timestamp() * 1_000_000) // 1000,
                "campaign": campaign,
                "position": row["position"],
                "item_id": f"{campaign}-{row['item_id']}",
                "traits": traits,
                "segment": f"{traits[0]}-{traits[1]}",
                "affinity": row["affinity"],
                "click": row["click"],
            }


def _delay(trace: str) -> int:
    return 2_000 + int(trace[:8], 16) % 1_798_000


def _items(folder: Path, campaign: str) -> list[Row]:
    rows = pl.read_parquet(folder / f"item_context_{campaign}.parquet").to_dicts()
    return [{**row, "item_id": f"{campaign}-{row['item_id']}", "place": row["item_id"]} for row in rows]


def _ranking(asked: Row, items: list[Row], shown: list[Row], clicked: list[Row]) -> dict[str, Values]:
    q = asked["time"] - 100
    past = {
        "shown": [row for row in shown if q - 4 * _DAY <= row["time"] <= q and row["campaign"] == asked["campaign"]],
        "clicked": [
            row for row in clicked if q - 8 * _DAY <= row["time"] <= q and row["campaign"] == asked["campaign"]
        ],
    }
    shared = _request_values(asked, q, past) | _user_values(asked, q, past)
    position_shown = _count(past["shown"], q, "6h", position=asked["position"])
    found = {}
    for item in items:
        own = {kind: [row for row in rows if row["item_id"] == item["item_id"]] for kind, rows in past.items()}
        values = _item_values(asked, item, q, own, shared, position_shown)
        found[item["item_id"]] = shared | _affinity_values(asked["affinity"], item, items) | values
    return found


def _count(rows: list[Row], q: int, window: str, **fields: Any) -> int:
    """Events of a sawtooth window at q whose fields have these values."""
    length, hop = _WINDOWS[window]
    start = (q - length) // hop * hop
    return sum(start <= row["time"] < q and all(row[name] == value for name, value in fields.items()) for row in rows)


def _rate(clicks: int, impressions: int) -> float:
    return (clicks + 1.0) / (impressions + 200.0)


def _request_values(asked: Row, q: int, past: dict[str, list[Row]]) -> Values:
    local, utc = datetime.fromtimestamp(q / 1000, _TOKYO), datetime.fromtimestamp(q / 1000, UTC)
    at = {"position": asked["position"]}
    shown = {window: _count(past["shown"], q, window, **at) for window in ("1h", "6h", "1d")}
    return {
        "hour_of_day": local.hour,
        "weekday": local.weekday(),
        "is_evening": int(local.hour >= 18),
        "request_hour": utc.hour,
        "request_weekday": utc.weekday(),
        "request_is_weekend": int(utc.weekday() >= 5),
        "request_day_part": utc.hour // 6,
        "request_week_hour": utc.weekday() * 24 + utc.hour,
        "is_men": int(asked["campaign"] == "men"),
        "shown_at": asked["position"],
        "position_rate_6h": _float32(_rate(_count(past["clicked"], q, "6h", **at), shown["6h"])),
        "position_rate_1d": _float32(_rate(_count(past["clicked"], q, "1d", **at), shown["1d"])),
        "position_shown_1h": shown["1h"],
        "position_shown_6h": _float32(math.log1p(shown["6h"])),
    }


def _user_values(asked: Row, q: int, past: dict[str, list[Row]]) -> Values:
    own, affinity = {"segment": asked["segment"]}, asked["affinity"]
    shown = {window: _count(past["shown"], q, window, **own) for window in ("6h", "1d")}
    return {
        "segment_id": _term("segment", asked["segment"]),
        **{f"trait_{place}_id": _term(f"trait_{place}", trait) for place, trait in enumerate(asked["traits"])},
        "affinity_total": _float32(math.fsum(affinity)),
        "affinity_best": _float32(max(affinity)),
        "affinity_length": _float32(math.sqrt(math.fsum(x * x for x in affinity))),
        "segment_shown_6h": shown["6h"],
        "segment_rate_1d": _float32(_rate(_count(past["clicked"], q, "1d", **own), shown["1d"])),
        "segment_clicked_3d": _count(past["clicked"], q, "3d", **own),
    }


def _item_values(
    asked: Row, item: Row, q: int, past: dict[str, list[Row]], shared: Values, position_shown: int
) -> Values:
    """`past` holds the item's own impressions and clicks."""
    shown = {window: _count(past["shown"], q, window) for window in ("1h", "6h", "1d")}
    clicked = {window: _count(past["clicked"], q, window) for window in _WINDOWS}
    rate_6h, rate_1d = (_float32(_rate(clicked[window], shown[window])) for window in ("6h", "1d"))
    last_shown, last_clicked = _newest(past["shown"], q - 2 * _DAY), _newest(past["clicked"], q - 7 * _DAY)
    price_bin = sum(bound <= item["item_feature_0"] for bound in _PRICES)
    at, to = {"position": asked["position"]}, {"segment": asked["segment"]}
    at_shown, to_shown = _count(past["shown"], q, "1d", **at), _count(past["shown"], q, "1d", **to)
    segment_rate = _float32(_rate(_count(past["clicked"], q, "1d", **to), to_shown))
    hour = shared["hour_of_day"]
    assert hour is not None
    return {
        "item_number": _term("item", item["item_id"]),
        "price_index": _float32(item["item_feature_0"]),
        "price_bin": price_bin,
        "brand_id": _term("brand", item["item_feature_1"][:8]),
        "category_id": _term("category", item["item_feature_2"][:8]),
        "style_id": _term("style", item["item_feature_3"][:8]),
        "item_shown_1h": shown["1h"],
        "item_shown_6h": shown["6h"],
        "item_shown_1d": shown["1d"],
        "item_clicked_1h": clicked["1h"],
        "item_clicked_6h": clicked["6h"],
        "item_clicked_1d": clicked["1d"],
        "item_clicked_3d": clicked["3d"],
        "item_rate_6h": rate_6h,
        "item_rate_1d": rate_1d,
        "item_trend": _float32(rate_6h - rate_1d),
        "item_pace": _float32((shown["1h"] * 24 + 1.0) / (shown["1d"] + 1.0)),
        "shown_ago": None if last_shown is None else _float32((q - last_shown["time"]) / 1000),
        "clicked_ago": None if last_clicked is None else _float32(math.log1p((q - last_clicked["time"]) / 1000)),
        "clicked_same_position": int(last_clicked is not None and last_clicked["position"] == asked["position"]),
        "item_share_6h": _float32(shown["6h"] / (position_shown + 1.0)),
        "item_position_shown_1d": at_shown,
        "item_position_rate": _float32(_rate(_count(past["clicked"], q, "3d", **at), at_shown * 3)),
        "hour_price": int(hour) * 8 + price_bin,
        "segment_item_shown_6h": _count(past["shown"], q, "6h", **to),
        "segment_item_shown_1d": to_shown,
        "segment_item_clicked_3d": _count(past["clicked"], q, "3d", **to),
        "segment_item_rate_1d": segment_rate,
        "segment_lift": _float32(segment_rate / rate_1d),
    }


def _affinity_values(affinity: list[float], item: Row, items: list[Row]) -> Values:
    own, total = affinity[item["place"]], math.fsum(affinity)

    def alike(feature: str) -> list[float]:
        return [float(other[feature] == item[feature] and other["place"] != item["place"]) for other in items]

    category, style = alike("item_feature_2"), alike("item_feature_3")
    lengths = math.sqrt(math.fsum(x * x for x in affinity)) * math.sqrt(math.fsum(x * x for x in style))
    product = math.fsum(x * y for x, y in zip(affinity, style, strict=True))
    return {
        "affinity_item": _float32(own),
        "affinity_share": _float32(own / total) if total else 0.0,
        "affinity_known": int(own > 0),
        "affinity_category": _float32(math.fsum(x * y for x, y in zip(affinity, category, strict=True))),
        "affinity_style": _float32(product / lengths) if lengths else 0.0,
    }


def _newest(rows: list[Row], since: int) -> Row | None:
    """The last event, if it is not older than `since`."""
    found = max(rows, key=lambda row: row["time"], default=None)
    return found if found is not None and found["time"] >= since else None


def _term(vocabulary: str, text: str) -> int:
    terms = (_FOLDER / "vocabularies" / f"{vocabulary}.txt").read_text().split()
    return terms.index(text) + 1 if text in terms else 0


def _float32(value: float) -> float:
    result: float = struct.unpack("f", struct.pack("f", value))[0]
    return result
