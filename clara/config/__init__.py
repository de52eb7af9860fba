"""The whole configuration: types, loading, and refusals that name path, value and what was expected."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from clara.config import checks
from clara.config.base import Distinct, Seed, Strict, under_seed
from clara.config.corpus import Benchmark, Candidates, Corpus
from clara.config.evaluation import Evaluation, Paper, Report
from clara.config.measurements import Measurements
from clara.config.model import Backbone, Lora, Memory
from clara.config.reading import from_command_line, parse
from clara.config.synthesis import Synthesis
from clara.config.training import Compression, Instruction, Joint, Pretraining
from clara.errors import ConfigError

NAMED = ("benchmarks", "variants")
"""Sections whose keys are names that the user gives; an overlay drops an entry by null."""


class Config(Strict):
    """`config.yaml`, complete. The file holds the defaults; this class has none."""

    run: str
    """Name of the folder under `results/`."""
    seed: Seed
    """Seed of every random choice."""
    seeds: Distinct[Seed]
    """Further seeds under which every variant is trained again, on the same corpus and synthesis."""
    ratios: Distinct[int] = Field(min_length=1)
    """Nominal compression ratios: document_max_tokens // ratio memory vectors a document."""
    inits: Distinct[Literal["pretraining", "instruction"]] = Field(min_length=1)
    """Checkpoints that joint training starts from."""
    variants: dict[str, dict[str, Any]]
    """Named overrides of the stages' settings; `base` has none."""
    backbone: Backbone
    memory: Memory
    lora: Lora
    corpus: Corpus
    benchmarks: dict[str, Benchmark] = Field(min_length=1)
    candidates: Candidates
    synthesis: Synthesis
    pretraining: Pretraining
    instruction: Instruction
    compression: Compression
    joint: Joint
    evaluation: Evaluation
    paper: Paper
    measurements: Measurements
    report: Report


def merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """`base` with `overrides` laid over it, mapping by mapping; neither is changed.

    Null is a value like any other, except for a benchmark or a variant that `base` has: there it takes the entry away.
    """
    merged = _laid_over(base, overrides)
    for section in NAMED:
        inherited, entries = base.get(section), merged.get(section)
        if isinstance(inherited, dict) and isinstance(entries, dict):
            merged[section] = {
                name: entry for name, entry in entries.items() if entry is not None or name not in inherited
            }
    return merged


def _laid_over(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _laid_over(merged[key], value) if both else value
    return merged


def without_rows(values: dict[str, Any]) -> dict[str, list[str]]:
    """Variants that cannot be trained, since `synthesis.kinds` lacks what they learn from → these kinds.

    An overlay of ablations has variants of every kind, whatever the run's data has.
    """
    lacking = {name: checks.unmade_kinds(merge(values, overrides)) for name, overrides in values["variants"].items()}
    return {name: kinds for name, kinds in lacking.items() if kinds}


def with_seeds(values: dict[str, Any]) -> dict[str, Any]:
    """`values` with a variant `{name}_seed{seed}` more for every variant and every entry of `seeds`."""
    variants = dict(values["variants"])
    for seed in values["seeds"]:
        for name, overrides in values["variants"].items():
            variants[under_seed(name, seed)] = overrides | {"seed": seed}
    return values | {"variants": variants}


def completed(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """`values` with the variants of a run, under all its seeds; and those left out, as `without_rows` gives them."""
    left_out = without_rows(values)
    kept = {name: overrides for name, overrides in values["variants"].items() if name not in left_out}
    return with_seeds(values | {"variants": kept}), left_out


def overridden(values: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, into which Snakemake has merged `--config`, with the numbers of `given` as numbers.

    Args:
        values: a configuration as plain data.
        given: what `--config` gave, as Snakemake reads it.

    Raises:
        ConfigError: a value is no YAML.
    """
    try:
        laid = _laid_over(values, from_command_line(dict(given)))
        for section in NAMED:
            entries, told = laid.get(section), given.get(section)
            if isinstance(entries, dict) and isinstance(told, dict):
                # Snakemake has laid null over what it takes away, as a text.
                laid[section] = {key: each for key, each in entries.items() if each is not None or key not in told}
        return laid
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"--config holds a value that is no YAML ({said}); write KEY=VALUE, in quotes") from error


def load(path: Path) -> dict[str, Any]:
    """The YAML mapping in `path`, unchecked.

    Raises:
        ConfigError: the file is missing, not UTF-8, not YAML or no mapping; a key stands twice; a number is ambiguous.
    """
    try:
        value = parse(Path(path).read_text(encoding="utf-8"), str(path))
    except ConfigError:
        raise
    except Exception as error:  # besides YAMLError, PyYAML raises whatever the reading of a scalar does
        said = "lists or sections nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigError(f"cannot read the configuration {path} ({' '.join(str(said).split())}); mend it") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a mapping of sections, found {type(value).__name__}")
    return value


def require_below(values: Mapping[str, Any], files: Sequence[str | Path]) -> None:
    """Refuses a run whose configuration lies over files that were not given, or were given after it.

    Args:
        values: a whole configuration as plain data.
        files: the configuration files that were given; where they lie does not matter.

    Raises:
        ConfigError: names those that lack, or that come too late; or as `load`.
    """
    given = [Path(file).name for file in files]
    lacking = [file for file in values["paper"]["lies_over"] if Path(file).name not in given]
    if lacking:
        raise ConfigError(
            f"the configuration of run {values['run']} lies over {', '.join(lacking)} (paper.lies_over); give that as "
            f"well, before its own: --configfile {' '.join(lacking)} …"
        )
    for place, file in enumerate(files):
        paper = load(Path(file)).get("paper")
        below = paper.get("lies_over") if isinstance(paper, dict) else None
        late = [each for each in below or [] if Path(each).name in given[place + 1 :]]
        if late:
            raise ConfigError(
                f"{file} lies over {', '.join(late)} (paper.lies_over), which comes after it and would undo its "
                f"settings; give them in this order: --configfile {' '.join(late)} {file}"
            )


def validate(values: dict[str, Any]) -> Config:
    """The typed configuration; every variant is merged and checked as well.

    Raises:
        ConfigError: names each bad key's path, its value and what was expected, all faults together.
    """
    faults: list[str] = []
    config = _checked(values, "", faults)
    if config is not None:
        faults += checks.names(config)
        for name, overrides in config.variants.items():
            found: list[str] = []
            _checked(merge(values, overrides), f"variants.{name}: ", found)
            faults += [fault for fault in found if fault.removeprefix(f"variants.{name}: ") not in faults]
    if faults or config is None:
        raise ConfigError("the configuration is not usable: " + "; ".join(checks.once_a_variable(faults)))
    return config


def _checked(values: dict[str, Any], prefix: str, faults: list[str]) -> Config | None:
    """The typed configuration; null, and its faults added, where it has some."""
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        faults += [prefix + checks.sentence(fault) for fault in error.errors()]
        return None
    faults += [prefix + fault for fault in checks.between(config)]
    return config


def of_command_line(arguments: Sequence[str], default: Path = Path("config.yaml")) -> dict[str, Any]:
    """The configuration that Snakemake's arguments name, with a run's variants (`completed`).

    It is the default file with what follows --configfile and --config laid over it.

    Raises:
        ConfigError: as `load`, `overridden` and `validate`.
    """
    merged, taking = load(default), ""
    given: dict[str, Any] = {}
    for word in arguments:
        value = word
        if word.startswith("-"):
            taking, _, value = word.partition("=")
        if value and taking in ("--configfile", "--configfiles"):
            merged = merge(merged, load(Path(value)))
        elif "=" in value and taking in ("--config", "-C"):
            key, _, text = value.partition("=")
            given = _laid_over(given, {key: from_command_line(text)})
    merged = overridden(merged, given)
    validate(merged)
    return completed(merged)[0]
