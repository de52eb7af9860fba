"""Says what a run would do: which jobs, why, for how long, GPU hours, disk, and which tables change. Makes no file.

    python workflow_scripts/explain.py [TARGET …] --profile profiles/local [--configfile configs/NAME.yaml]
    python workflow_scripts/explain.py --variants --profile profiles/local

All other arguments go to Snakemake; targets come first. Times are medians of earlier runs of the same jobs, else the
estimate of clara/sizing/. Exit status 3 where the whole is above --max-gpu-hours or --max-hours, 0 otherwise.
--variants shows instead which stages the variants share.
"""

import json
import sys
from pathlib import Path

from clara import config as configuration
from clara import program
from clara.evaluation.paper.equal import Equals
from clara.plan import STAGES, Plan
from clara.runs import explain
from clara.runs.jobs import planned
from clara.sizing.jobs import Sizes, job_size
from clara.sizing.steps import Site

EXIT_ABOVE = 3
ALONE = ("pretraining", "instruction")
"""Stages that do not start from another one's checkpoint."""


def main(argv: list[str] | None = None) -> None:
    """Plans, explains, compares with the limits."""
    flags = program.parser(__doc__)
    flags.add_argument("--max-gpu-hours", type=float, default=float("inf"))
    flags.add_argument("--max-hours", type=float, default=float("inf"), help="of all jobs, one after the other")
    flags.add_argument("--variants", action="store_true")
    flags.add_argument("--json", action="store_true", dest="as_json")
    given, rest = flags.parse_known_args(argv)
    config = configuration.of_command_line(rest)
    plan = Plan(config, Path.cwd())
    if given.variants:
        print(shared(plan, config["inits"][0]))
        return
    jobs = planned(rest)
    site = Site(node_gpus=max((job.resources["gpu"] for job in jobs), default=0))
    sizes = Sizes(Equals(config, Path.cwd()).plan.variants, site)  # a target may name a variant of configs/*.yaml
    found = explain.explain(jobs, lambda job: job_size(sizes, job.rule, job.wildcards), plan.modules)
    print(json.dumps(explain.plain(found), indent=2) if given.as_json else explain.text(found))
    whole = explain.totals(found)
    for value, limit, unit in (
        (whole.gpu_hours, given.max_gpu_hours, "GPU hours"),
        (whole.seconds / 3600, given.max_hours, "hours"),
    ):
        if value > limit:
            print(f"{value:.3g} {unit} are above the limit of {limit:g}", file=sys.stderr)
            sys.exit(EXIT_ABOVE)


def shared(plan: Plan, init: str) -> str:
    """A table: for every stage, the variant whose files each variant uses; and how often each stage runs."""
    owners = {
        stage: [plan.owner(stage, variant, "" if stage in ALONE else init) for variant in plan.variants]
        for stage in STAGES
    }
    rows = [["variant", *STAGES]]
    for number, variant in enumerate(plan.variants):
        used = [owners[stage][number] for stage in STAGES]
        rows.append([variant, *("own" if owner == variant else f"= {owner}" for owner in used)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    counts = ", ".join(f"{len(set(names))} {stage}" for stage, names in owners.items())
    return "\n".join([*lines, f"{len(plan.variants)} variants; for each ratio {counts}"])


if __name__ == "__main__":
    program.run(main)
