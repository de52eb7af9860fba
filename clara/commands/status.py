"""The command `clara status`: how far the run in this folder is."""

from pathlib import Path
from typing import Annotated

import typer

from clara.commands.shared import Json, print_json


def status(
    configfile: Annotated[list[Path] | None, typer.Option(help="As for the run; may be given several times")] = None,
    profile: Annotated[str, typer.Option(help="As for the run")] = "profiles/local",
    as_json: Json = False,
) -> None:
    """Say for every stage what is done, running and failed, with progress and the last lines of failed jobs' logs."""
    from clara.runs import status as runs
    from clara.runs.jobs import planned

    overlays = ["--configfile", *map(str, configfile)] if configfile else []
    arguments = ["--profile", profile, *overlays]
    to_run = planned(arguments)
    every = planned([*arguments, "--forceall"])
    working = runs.at_work(Path.cwd())
    stages = runs.status(every, to_run, working=working)
    if as_json:
        rows = [
            {
                "rule": stage.rule,
                **stage.counts,
                "ended_early": [one._asdict() for one in stage.early],
                "jobs": [{**job._asdict(), "attempts": [one._asdict() for one in job.attempts]} for job in stage.jobs],
            }
            for stage in stages
        ]
        print_json({"working": working, "stages": rows})
    else:
        typer.echo(runs.text(stages, working=working))
