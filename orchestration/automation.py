"""What materializes by condition instead of by trigger: the reports, which may be late and lose nothing by it."""

import dagster as dg

from assets.keys import EXPERIMENTS

REPORTS = (
    dg.AutomationCondition.cron_tick_passed("*/10 * * * *")
    & dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.in_progress()
).with_label("every ten minutes, if samples or deployments have changed")


def automated(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The spec with the condition of its group, if the group has one."""
    return spec.replace_attributes(automation_condition=REPORTS) if spec.group_name == EXPERIMENTS else spec


reports = dg.AutomationConditionSensorDefinition(
    "reports",
    target=dg.AssetSelection.groups(EXPERIMENTS),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    run_tags={"dagster/priority": "-5", "saima/nice": "10"},
    description="Keeps the experiments' reports up to date while traffic runs.",
)
