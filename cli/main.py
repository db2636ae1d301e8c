"""The `saima` command: one module per command group, imported only when its command is asked for."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from saima.errors import SaimaError, suggest

COMMANDS = {
    "up": ("cli.up:up", "Start everything on recorded events as live traffic."),
    "demo": ("cli.demo:demo", "Run two replayed weeks headless, kill processes in mid-run, prove the counts."),
    "traffic": ("cli.play:traffic", "Send recorded events to a running system as live traffic."),
    "status": ("cli.status:status", "What runs, what is routed, what was retrained."),
    "new": ("cli.new:new", "Scaffold an algorithm that passes its own tests."),
    "import": ("cli.import_:import_", "Make an algorithm of a configuration in its XML form."),
    "check": ("cli.check:check", "Validate a declaration; `check parity` compares logged and recomputed features."),
    "feature": ("cli.feature:feature", "List, show, preview and test features."),
    "explain": ("cli.explain:explain", "The plan of an algorithm: stages, sides, lineage."),
    "streams": ("cli.streams:streams", "What streams keep, and which aggregates share it."),
    "rules": ("cli.rules:rules", "Deploy, list, explain and test patterns over events."),
    "backfill": ("cli.backfill:backfill", "Write the features of history, which may be larger than memory."),
    "bundle": ("cli.bundle:bundle", "Build, sign and publish a version of an algorithm."),
    "deploy": ("cli.deploy:deploy", "Route a published bundle, or list what there is."),
    "rollback": ("cli.rollback:rollback", "Route the last good version and hold the lineage."),
    "key": ("cli.key:key", "Make a key for the host's API, with scopes."),
    "shadow": ("cli.shadow:shadow", "Give a lineage a copy of every request."),
    "replay": ("cli.requests:replay", "Answer recorded requests with a bundle, and compare."),
    "stress": ("cli.stress:stress", "Send recorded requests at a chosen rate; latency, rejections, errors."),
    "ab": ("cli.ab:ab", "Experiments: check, start, ramp, stop, report; power and AA before."),
    "report": ("cli.report:report", "Write the report of an experiment as one HTML page."),
    "worker": ("cli.worker:worker", "Run a stream worker in the foreground."),
    "log": ("cli.log:log", "Inspect and repair the event log."),
    "backup": ("cli.backup:backup", "Write all state to one file; nothing may run."),
    "restore": ("cli.backup:restore", "Put a backup's state into an empty home."),
    "rebuild": ("cli.rebuild:rebuild", "Set the online store aside; the next worker builds it from tables and log."),
}
"""Where each command lives and its line in `saima --help`."""


class Commands(click.Group):
    """A group that knows its commands' names and lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click gives it
        """Names in the order of a person's first day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click gives it
        """Import a command's module; None where there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click gives it
        """One line a command, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name proposed for one that is not known."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command '{args[0]}'{suggest(args[0], COMMANDS)}; `saima --help` lists them")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="saima", message="%(version)s")
def saima() -> None:
    """Saima: online algorithms from events to experiments, in one set of declarations.

    State lives under SAIMA_HOME (default: var/). Start with `saima up`.
    """


def main(arguments: list[str] | None = None) -> None:
    """Entry point; an error that a user can mend is one sentence on stderr and exit code 1."""
    try:
        saima(args=arguments, prog_name="saima", standalone_mode=True)
    except SaimaError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
