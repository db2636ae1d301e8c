"""`saima rules`: patterns over events, deployed while the worker runs."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saima.errors import SaimaError, suggest
from saima.settings import settings

if TYPE_CHECKING:
    from saima.streams.matching import Matcher
    from saima.streams.matching.orders import Order, Rulebook, RuleFile
    from saima.worker.matching import Matching

_WAIT = 30.0
"""Seconds that a command waits for the worker to carry an order out."""

_IN_FLIGHT = click.option(
    "--in-flight",
    type=click.Choice(["drain", "drop", "migrate"]),
    help="Partial matches of changed rules go on by the old version, end, or go on by the new one. Default: drain.",
)


@click.group("rules")
def rules() -> None:
    """Deploy, list, explain and test rules. Those in algorithms/<name>/rules/*.json are deployed by themselves."""


@rules.command("deploy")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_IN_FLIGHT
def deploy(files: tuple[Path, ...], in_flight: str | None) -> None:
    """Deploy the rules of FILES; a rule that is deployed already is replaced, and needs a new version."""
    from saima.streams.matching.orders import Order

    found = [_read(path) for path in files]
    documents = [document for file in found for document in file.rules or ()]
    how: Any = in_flight or found[0].in_flight
    offset = _give(Order(documents, in_flight=how))
    click.echo(f"{len(documents)} rules ordered at offset {offset}; {_outcome(offset)}")


@rules.command("disable")
@click.argument("names", nargs=-1, required=True)
@_IN_FLIGHT
def disable(names: tuple[str, ...], in_flight: str | None) -> None:
    """Take rules out by id. One that a watched file has stays out until the file says something else of it."""
    from saima.streams.matching.orders import Order

    deployed = _deployed()[0].rules.rules
    for name in names:
        if name not in deployed:
            raise SaimaError(f"no rule '{name}' is deployed{suggest(name, deployed)}; `saima rules list` names them")
    how: Any = in_flight or "drain"
    offset = _give(Order((), names, in_flight=how))
    click.echo(f"{len(names)} rules to go, ordered at offset {offset}; {_outcome(offset)}")


@rules.command("list")
@click.option("--json", "as_json", is_flag=True, help="Everything, for a program.")
def list_(as_json: bool) -> None:
    """Show what is deployed, where it came from, and what it has counted."""
    from saima.worker.status import rules_together

    shards = _shards()
    found = {**rules_together([matching.status() for matching in shards]), "wrong_files": _wrong_files()}
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for rule in found["deployed"]:
        click.echo(f"{rule['id']}  version {rule['version']}  {rule['origin']}")
    for name in found["disabled"]:
        click.echo(f"{name}  disabled by hand")
    if found["watermark"] is not None:
        moment = datetime.fromtimestamp(found["watermark"] / 1000, UTC).isoformat(timespec="seconds")
        live = sum(each.matcher.live for each in shards)
        click.echo(
            f"watermark {moment}, {live} partial matches, {found['held']} events wait, {found['late']} came late"
        )
    for what, count in found["counters"].items():
        click.echo(f"{what}: {count}")
    if found["refused"]:
        click.echo(found["refused"], err=True)
    for path, error in found["wrong_files"].items():
        click.echo(f"{path}: {error}", err=True)
    if not found["deployed"]:
        click.echo("no rules are deployed")


@rules.command("explain")
@click.argument("what")
def explain(what: str) -> None:
    """Say what each state of a rule waits for: WHAT is a file or the id of a deployed rule."""
    from saima.streams.matching import RuleSet
    from saima.streams.matching.explain import explain as text

    if Path(what).is_file():
        chosen = RuleSet.read(_read(Path(what)).rules or ())
    else:
        deployed = {one["id"]: one for one in _deployed()[0].rules.documents()}
        if what not in deployed:
            raise SaimaError(f"'{what}' is neither a file nor a deployed rule{suggest(what, deployed)}")
        chosen = RuleSet.read([deployed[what]])
    click.echo(text(chosen))


@rules.command("test")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--events", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines or Parquet with key, type, time, seq, id and fields. Default: the recorded events of this home.",
)  # fmt: skip
@click.option("--days", default=1.0, show_default=True, help="Of recorded events, so many of the newest.")
@click.option("--limit", default=20, show_default=True, help="Matches to show.")
def test(file: Path, events: Path | None, days: float, limit: int) -> None:
    """Run the rules of FILE over events and show what they match; nothing is deployed."""
    from cli.rules_trial import trial

    for line in trial(_read(file), events, days, limit):
        click.echo(line)


def _read(path: Path) -> RuleFile:
    from saima.streams.matching.orders import read_rules

    try:
        return read_rules(path.read_text())
    except ValueError as error:
        raise SaimaError(f"{path} is no JSON: {error}") from error
    except SaimaError as error:
        raise SaimaError(f"{path}: {error}") from error


def _deployed() -> tuple[Matcher, Rulebook]:
    """Rules as the worker has committed them, the same in every shard, and partial matches of the first one."""
    from saima.stores import open_online
    from saima.streams.matching import Matcher, RuleSet
    from saima.streams.matching.deployed import load
    from saima.streams.matching.orders import Rulebook

    if not (settings().home / "online").exists():
        return Matcher(RuleSet.read([])), Rulebook()  # no worker has run yet
    online = open_online(0, settings())
    with online.read() as read:
        matcher, book = load(read)
    online.close()
    return matcher, book


def _shards() -> list[Matching]:
    """The same of each shard, with the events that wait for the watermark."""
    from saima.features.origins import read_declaration
    from saima.stores import open_online
    from saima.stores.shards import Share
    from saima.worker.catalog import catalog
    from saima.worker.matching import Matching

    folder, shards = settings().algorithms, settings().shards
    declared = {
        path.parent.name: read_declaration(path, folder / "shared", str(path))[0]
        for path in sorted(folder.glob("*/algorithm.yaml"))
    }
    found = catalog(declared)
    made = [Matching(found.topics, found.lateness, found.idle, Share(shard, shards)) for shard in range(shards)]
    if not (settings().home / "online").exists():
        return made  # no worker has run yet
    for shard, matching in enumerate(made):
        online = open_online(shard, settings())
        with online.read() as read:
            matching.restore(read)
        online.close()
    return made


def _give(order: Order) -> int:
    """Append an order to the log; its offset."""
    from saima.stores import open_log
    from saima.streams.matching import RuleSet
    from saima.streams.matching.deployment import check
    from saima.streams.matching.orders import give

    matcher, book = _deployed()
    made = book.after(matcher.rules, order, matcher.watermark)
    check(matcher.partitions, RuleSet(made.rules.values(), made.shared))
    log = open_log(settings())
    try:
        return give(log, [order], time.time_ns() // 1_000_000)
    finally:
        log.close()


def _outcome(offset: int) -> str:
    """What the worker made of the order at an offset."""
    from saima.stores import open_registry

    registry = open_registry(settings())
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        statuses = registry.statuses("worker/")
        if not statuses:
            return "no worker runs: it holds from the worker's next start on"
        if all(int(status.get("position", {}).get("0", 0)) >= offset for status in statuses.values()):
            refused = [text for status in statuses.values() if (text := status.get("rules", {}).get("refused"))]
            if refused:
                raise SaimaError(refused[0])
            return "the worker has carried it out"
        time.sleep(0.1)
    return f"the worker has not come to it within {_WAIT:.0f} s; `saima status` says how far it is"


def _wrong_files() -> dict[str, str]:
    from saima.stores import open_registry

    found: dict[str, str] = {}
    for status in open_registry(settings()).statuses("worker/").values():
        found |= status.get("wrong_rules", {})
    return found
