"""`saima feature`: what features there are, what one is and costs, its values on rows, whether all paths agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.feature_find import chosen, document, known, load_all, metrics, monitors

if TYPE_CHECKING:
    from saima.features import Algorithm

ROWS = 500
"""Rows of the measurement, as many as a ranking's candidates."""


@click.group("feature")
def feature() -> None:
    """List, show, preview and test features; NAME is `feature`, `algorithm.feature` or `shared/file.feature`."""


@feature.command("list")
@click.argument("algorithms", nargs=-1)
@click.option("--side", help="Only features of this side: user, request, item, cross, const.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def list_(algorithms: tuple[str, ...], side: str | None, as_json: bool) -> None:
    """Features of the named algorithms, or of all; what several share stands once, first."""
    found = [entry for entry in known(load_all(algorithms)) if side in (None, entry.side)]
    if as_json:
        click.echo(json.dumps([document(entry) for entry in found], indent=1, ensure_ascii=False))
        return
    heading = ""
    width = max((len(entry.name) for entry in found), default=0)
    for entry in found:
        owner = entry.full_name.removesuffix(f".{entry.name}")
        if owner != heading:
            heading = owner
            readers = f", read by {', '.join(entry.algorithms)}" if entry.shared else ""
            click.echo(f"{owner}{readers}")
        models = ", ".join(entry.models) or "no model"
        click.echo(f"  {entry.name:<{width}}  {entry.side:<7}  {entry.dtype:<8}  {models:<32}  {entry.value}".rstrip())
    click.echo(f"{len(found)} features")


@feature.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
@click.option("--cost/--no-cost", default=True, help="Measure what it costs, in about a second.")
def show(name: str, as_json: bool, cost: bool) -> None:
    """Definition, side, lineage, readers and measured cost of a feature."""
    from cli.feature_text import cost_of, paragraphs

    loaded = load_all(())
    documents = []
    for entry in chosen(known(loaded), name):
        found = document(entry) | {"monitors": monitors(entry), "metrics": metrics(loaded, entry)}
        if cost:
            found["cost"] = cost_of(loaded[entry.algorithms[0]].plan, entry.name, ROWS)
        documents.append(found)
        if not as_json:
            click.echo("\n".join(paragraphs(found)))
    if as_json:
        click.echo(json.dumps(documents, indent=1, ensure_ascii=False))


@feature.command("preview")
@click.argument("name")
@click.option("--rows", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True,
              help="Inputs: .json (a list), .jsonl, .csv or .parquet.")  # fmt: skip
@click.option("--history", is_flag=True, help="The rows are requests with a time; read tables and windows as of then.")
@click.option("--limit", default=20, show_default=True, help="Rows to show.")
def preview(name: str, file: Path, history: bool, limit: int) -> None:
    """Values of a feature on the rows of a file, whose columns are inputs such as `distance` or `weather.temp`."""
    from cli.feature_rows import as_of_history, given_rows, table

    loaded = load_all(())
    for entry in chosen(known(loaded), name):
        algorithm = loaded[entry.algorithms[0]]
        if history:
            shown = as_of_history(algorithm, entry.name, file, limit)
        else:
            shown = given_rows(algorithm, entry.name, entry.exact, file, limit)
        click.echo(entry.full_name)
        click.echo(table(shown))


@feature.command("get")
@click.argument("names", nargs=-1, required=True)
@click.option("--key", "keys", multiple=True, help="field=value, once a field that the names need.")
@click.option("--time", "when", help="Moment of the read, ISO or ms; default: now.")
@click.option("--json", "as_json", is_flag=True, help="The answer of GET /v1/features.")
def get(names: tuple[str, ...], keys: tuple[str, ...], when: str | None, as_json: bool) -> None:
    """Values now, from the online store, with age and version; NAMES are features, columns of tables, windows.

    For example `saima feature get dep_origin.mean_1h weather.temp --key origin=JFK`.
    """
    from cli.feature_get import ask, heading, rows
    from cli.feature_rows import table

    answer = ask(names, keys, when)
    if as_json:
        click.echo(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        click.echo(heading(answer))
        click.echo(table(rows(answer)))


@feature.command("test")
@click.argument("algorithms", nargs=-1)
@click.option("--rows", default=200, show_default=True, help="Made-up rows that every path computes.")
@click.option("--seed", default=0, show_default=True, help="Which made-up rows.")
def test(algorithms: tuple[str, ...], rows: int, seed: int) -> None:
    """Hold features against the examples in `tests/*.yaml`, and single rows and batches against the reference."""
    from saima.features.checks.examples import run_examples
    from saima.features.checks.trial import differences, input_types, made_up

    failed = 0
    for name, algorithm in load_all(algorithms).items():
        outcomes = run_examples(algorithm)
        wrong = [f"{one.file}:{one.line}: {one.feature} {one.wrong}" for one in outcomes if one.wrong]
        exact = {entry.name: entry.exact for entry in known({name: algorithm})}
        found = differences(algorithm.plan, made_up(input_types(algorithm.plan), rows, seed), exact)
        wrong += [f"{name}.{one}, on {_row(algorithm, one.feature, one.row)}" for one in found]
        failed += len(wrong)
        verdict = "failed" if wrong else "ok"
        click.echo(
            f"{verdict} {name}: {len(outcomes)} expected values, {len(exact)} features on {rows} made-up rows"
            + (f"; {len(wrong)} wrong" if wrong else "")
        )
        for line in wrong[:20]:
            click.echo(f"  {line}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


@feature.command("operators")
@click.argument("name", required=False)
def operators(name: str | None) -> None:
    """Operators by family; with NAME its signature, formula, what is missing, and an example."""
    from cli.feature_text import operator_lines

    click.echo("\n".join(operator_lines(name)))


def _row(algorithm: Algorithm, name: str, row: dict[str, Any]) -> str:
    """The inputs that the feature reads, as JSON that `preview --rows` takes."""
    return json.dumps({column: row[column] for column in algorithm.plan.lineage[name]}, ensure_ascii=False, default=str)
