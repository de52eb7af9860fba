"""Declares a code change harmless for a stage's results, so that they do not run again; adds to accepted.json.

    python workflow_scripts/accept.py pretraining --why "other names only" --profile profiles/local

(make accept STAGE=pretraining WHY="other names only".) A stage, a rule, or all. Who, when, and both fingerprints of the
code are written down: commit the file. Refused where settings changed too. Other arguments go to Snakemake, such as
--configfile configs/NAME.yaml.
"""

from pathlib import Path

from clara import config as configuration
from clara import program
from clara.plan import Plan
from clara.runs import accept
from clara.runs.jobs import planned, rules_of


def main(argv: list[str] | None = None) -> None:
    """Compares, refuses or writes."""
    flags = program.parser(__doc__)
    flags.add_argument("stage")
    flags.add_argument("--why", default="")
    given, rest = flags.parse_known_args(argv)
    root = Path.cwd()
    rules = rules_of(given.stage, root)
    plan = Plan(configuration.of_command_line(rest), root)
    jobs = [job for job in planned([*rest, "--forceall"]) if job.rule in rules]
    added = accept.changes(jobs, plan.accepted, fingerprint_of=plan.fingerprint, stage=given.stage, why=given.why)
    for change in added:
        print(f"{change.rule}: {change.new} counts as {change.old} from now on")
    if added:
        plan.accepted.write(root, added)
        print("written to accepted.json; commit it")
    else:
        print(f"nothing to accept: no result of {given.stage} was made by other code")


if __name__ == "__main__":
    program.run(main)
