"""The profiles name rules that exist, and each step with a model asks for its GPU."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from clara import config as configuration
from clara.config.rules import RULES, wildcard_values
from clara.plan import Plan
from clara.runs import preflight
from clara.sizing.steps import Site
from tests.workflow.checkout import ROOT

WITH_MODEL = {
    "synthesize", "pretrain", "tune_instructions", "compress_documents", "train_joint", "predict", "predict_baseline",
    "measure_memory_use", "predict_given", "predict_given_text", "predict_by_k", "rewrite_documents",
    "measure_efficiency", "measure_states",
    "answer_as_teacher", "tune_text_rag", "predict_compressed_text", "predict_given_compressed_text",
    "predict_released", "rank_neural", "measure_bert_score",
}  # fmt: skip


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / "profiles" / name / "profile.v9+.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["gpu", "slurm"])
def test_steps_with_a_model_get_threads_and_the_rules_ask_for_gpus(name: str) -> None:
    values = profile(name)
    assert WITH_MODEL <= RULES.keys()
    assert {entry.split("=")[0] for entry in values["set-threads"]} == WITH_MODEL
    # The number, the memory and the time follow from the configuration: clara/sizing/.
    given = {key for resources in values.get("set-resources", {}).values() for key in resources}
    assert not given & {"gpu", "mem_mb", "runtime"}
    stated = preflight.defaults(values)
    assert set(Site._fields) & set(stated)
    assert int(stated["node_gpus"]) >= 1


def test_rules_with_a_model_are_sized_and_get_their_gpus() -> None:
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").rglob("*.smk"))
    for rule in WITH_MODEL:
        assert f'gpu=gpus("{rule}")' in rules
        assert f'mem_mb=sized("{rule}", "memory")' in rules
        assert f'gpu_mem_mb=sized("{rule}", "gpu_memory")' in rules
    assert rules.count("CLARA_GPUS={resources.gpu}") == len(WITH_MODEL)


def test_the_page_says_of_every_rule_where_it_runs_on_a_cluster() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8").split("## Which steps are jobs")[1]
    rows = re.findall(r"^\| (?:where|partition) .*? \| (.*?) \| ", page.split("\n## ")[0], re.MULTILINE)
    local, without, on_gpus = (set(re.findall(r"`(\w+)`", row)) for row in rows)
    named = re.search(r"^localrules:\n(.*?)\n\n", (ROOT / "Snakefile").read_text(encoding="utf-8"), re.M | re.S)
    assert named
    collecting = {"all", "paper"}
    wanted = {name for name in re.findall(r"\w+", named[1]) if name not in collecting and not name.endswith("_all")}
    assert local == wanted
    assert on_gpus == WITH_MODEL
    assert without == (RULES.keys() | {"collect_documents"}) - local - on_gpus


def test_every_job_of_slurm_asks_for_its_time() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "rules").rglob("*.smk")]
    timed = {name for text in texts for name in re.findall(r'runtime=sized\("(\w+)", "minutes"\)', text)}
    named = re.search(r"^localrules:\n(.*?)\n\n", (ROOT / "Snakefile").read_text(encoding="utf-8"), re.M | re.S)
    assert named
    rules = {name for text in texts for name in re.findall(r"^rule (\w+):", text, re.M)}
    assert timed == rules - set(re.findall(r"\w+", named[1]))
    assert "runtime" not in preflight.defaults(profile("slurm"))


def test_steps_with_a_model_compute_with_threads_of_the_settings() -> None:
    # A profile's set-threads say what a job is given; numbers must not depend on that.
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").rglob("*.smk"))
    assert rules.count("    threads: CPU_THREADS") == len(WITH_MODEL)
    values = configuration.load(ROOT / "config.yaml")
    values["backbone"]["cpu_threads"] = 1234567
    values["evaluation"]["released"] = {"official": {"source": "/nowhere", "base": None}}
    for rule in WITH_MODEL:
        for wildcards in wildcard_values(rule, values):
            assert "1234567" in Plan(values, ROOT).settings(rule, **wildcards), rule


def test_slurm_is_found_by_its_short_name_and_warns_jobs_before_their_end() -> None:
    assert (ROOT / "slurm").readlink() == Path("profiles/slurm")
    values = profile("slurm")
    assert values["set-resources"].keys() == WITH_MODEL
    assert all("--signal=TERM@300" in resources["slurm_extra"] for resources in values["set-resources"].values())
    # An array job of the plugin 2.8 removes healthy outputs, and preempted jobs that nobody requeues hang for ever.
    assert not any("array" in key for key in values)
    assert values["slurm-no-requeue"] is True


def test_there_is_no_default_profile_that_would_override_the_others() -> None:
    assert {path.name for path in (ROOT / "profiles").iterdir()} == {"local", "gpu", "gpu-shared", "slurm"}


def test_memory_of_a_gpu_is_counted_where_jobs_share_it_and_nowhere_else() -> None:
    limits = {path.name: profile(path.name).get("resources", []) for path in (ROOT / "profiles").iterdir()}
    counted = {name for name, given in limits.items() if any(entry.startswith("gpu_mem_mb=") for entry in given)}
    assert counted == {"gpu-shared"}
    shared = profile("gpu-shared")
    assert shared["retries"] == 1
    assert f"gpu={preflight.defaults(shared)['gpu_jobs']}" in shared["resources"]


@pytest.mark.parametrize("name", ["local", "gpu-shared"])
def test_nothing_runs_beside_the_timing_of_answers(name: str) -> None:
    values = profile(name)
    assert values["cores"] == "all"
    threads = dict(entry.split("=") for entry in values["set-threads"])
    assert threads.keys() == {"measure_efficiency"}
    assert int(threads["measure_efficiency"]) >= 1024  # more than a machine has, and cut to its cores


def test_slurm_is_asked_for_no_memory_of_a_gpu() -> None:
    # The plugin reads gpu, gpu_model and gres of a job; a release that read gpu_mem_mb too would need another name.
    from snakemake_executor_plugin_slurm import submit_string, utils

    job = SimpleNamespace(resources={"gpu": 1, "gpu_mem_mb": 21_700})
    assert utils.set_gres_string(job).split() == ["--gpus=1"]
    assert "gpu_mem" not in Path(submit_string.__file__).read_text(encoding="utf-8")
