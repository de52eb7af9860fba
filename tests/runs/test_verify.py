"""Results against the present settings, code and inputs; and declarations that a change of code is harmless."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from clara.accepted import Accepted, Change
from clara.errors import ConfigError
from clara.runs import accept
from clara.runs.jobs import Job, rules_of
from clara.runs.verify import LARGE_BYTES, text, verify
from tests.runs.conftest import SETTINGS

MODULES = {"clara.a": "1", "clara.b": "2"}
OLD = {"code": "old0", "modules": {"clara.a": "0", "clara.b": "2"}}
ROOT = Path(__file__).resolve().parents[2]


def faults(job: Job, accepted: Accepted | None = None, *, quick: bool = False) -> list[str]:
    canonical = (accepted or Accepted([])).canonical
    (verdict,) = verify([job], canonical=canonical, modules_of=lambda rule: MODULES, quick=quick)
    return verdict.faults


def test_a_result_of_these_settings_code_and_inputs_holds(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    job = make_job()
    Path("in.txt").write_text("a")
    make_result(job, inputs={"in.txt": hashlib.sha256(b"a").hexdigest()})
    assert faults(job) == []
    Path("in.txt").write_text("b")
    assert faults(job) == ["its input in.txt is not the one it was made from"]
    Path("in.txt").unlink()
    assert faults(job) == ["in.txt is missing"]


def test_a_result_that_is_not_as_it_was_written_is_a_fault(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    job = make_job()
    make_result(job, outputs={"card.json": hashlib.sha256(b"{}").hexdigest()})
    assert faults(job) == []
    Path(job.outputs[0]).write_text("{ }")
    assert faults(job) == [f"{job.outputs[0]} is not as it was written"]


def test_a_result_may_lie_in_a_folder_beside_its_record(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    # The report's record names the tables below it by their names alone.
    job = make_job()
    make_result(job, outputs={"results.csv": hashlib.sha256(b"a").hexdigest()})
    below = Path(job.outputs[0]).parent / "tables" / "results.csv"
    below.parent.mkdir()
    below.write_text("a")
    assert faults(job) == []
    below.unlink()
    assert faults(job) == [f"{Path(job.outputs[0]).with_name('results.csv')} is missing"]


def test_other_settings_other_code_and_no_record_are_faults(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    job = make_job()
    make_result(job, SETTINGS | {"seed": 1})
    assert faults(job) == ["seed 1 -> 42"]
    make_result(job, **OLD)
    assert faults(job) == ["code changed: clara.a"]
    make_result(job, code=None)
    assert faults(job) == ["its record names no code: made by an earlier version"]
    Path("results/demo/joint/instruction-cr4-base/environment.json").unlink()
    assert faults(job) == ["nothing beside it tells how it was made"]


def test_accepted_code_holds(make_job: Callable[..., Job], make_result: Callable[..., None]) -> None:
    job = make_job(code="old0")  # the rules have the oldest fingerprint: `Plan.code`
    accepted = Accepted([Change("joint", "train_joint", "old0", "new0", "A", "2026-11-27", "")])
    make_result(job, **OLD)
    assert faults(job, accepted) == []
    make_result(job)
    assert faults(job, accepted) == []


def test_large_inputs_are_left_out_where_it_has_to_be_quick(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    job = make_job()
    with Path("large").open("wb") as file:
        file.truncate(LARGE_BYTES + 1)
    make_result(job, inputs={"large": "0"})
    assert faults(job, quick=True) == []
    assert faults(job) == ["its input large is not the one it was made from"]


def test_the_text_counts_what_holds_and_what_is_not_made(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    make_result(make_job(4), SETTINGS | {"seed": 1})
    found = verify([make_job(4), make_job(16)], canonical=Accepted([]).canonical, modules_of=lambda rule: MODULES)
    assert text(found).splitlines() == [
        "train_joint instruction-cr4-base: seed 1 -> 42",
        "0 of 1 results are of these settings, this code and these inputs; 1 are not made yet",
    ]


def declared(jobs: list[Job], accepted: Accepted | None = None) -> list[Change]:
    return accept.changes(
        jobs, accepted or Accepted([]), fingerprint_of=lambda rule: "new0", stage="joint", why="names"
    )


def test_a_declaration_names_both_codes_and_who_made_it(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    make_result(make_job(4), **OLD)
    make_result(make_job(16), **OLD)
    (change,) = declared([make_job(4), make_job(16)])
    assert (change.stage, change.rule, change.old, change.new, change.why) == (
        "joint", "train_joint", "old0", "new0", "names",
    )  # fmt: skip
    assert change.who
    assert declared([make_job(4)], Accepted([change])) == []


def test_changed_settings_and_unknown_or_several_codes_are_refused(
    make_job: Callable[..., Job], make_result: Callable[..., None]
) -> None:
    make_result(make_job(4), SETTINGS | {"seed": 1}, **OLD)
    with pytest.raises(ConfigError, match=r"not of the present settings either \(seed 1 -> 42\)"):
        declared([make_job(4)])
    make_result(make_job(4), **OLD)
    make_result(make_job(16), code="other")
    with pytest.raises(ConfigError, match=r"made by different code \(old0, other\)"):
        declared([make_job(4), make_job(16)])
    make_result(make_job(4), code=None)
    with pytest.raises(ConfigError, match="does not tell which code made it"):
        declared([make_job(4)])


def test_a_stage_is_its_file_or_folder_of_rules() -> None:
    assert rules_of("pretraining", ROOT) == ["pretrain"]
    assert rules_of("pretrain", ROOT) == ["pretrain"]
    assert {"synthesize", "gather_pairs"} <= set(rules_of("synthesis", ROOT))
    assert {"predict_given", "measure_states", "draw_figure"} <= set(rules_of("measurements", ROOT))
    assert {"pretrain", "score", "predict_given", "build_report"} <= set(rules_of("all", ROOT))
    with pytest.raises(ConfigError, match=r"no stage or rule pretrainning; expected one of .*pretraining"):
        rules_of("pretrainning", ROOT)
