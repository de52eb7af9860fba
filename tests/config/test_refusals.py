"""Settings that cannot work are refused before any job, each in a sentence with path, value and what was expected."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from clara import config as configuration
from clara.config.locations import expand
from clara.errors import ConfigError

BASE = configuration.load(Path(__file__).resolve().parents[2] / "config.yaml")

REFUSED = {
    "joint: {temperature: .inf}": "joint.temperature = inf: input should be a finite number",
    "memory: {idf_power: -1}": "memory.idf_power = -1: input should be greater than or equal to 0",
    "lora: {dropout: .nan}": "lora.dropout = nan: input should be a finite number",
    "seed: .inf": "seed = inf: input should be a valid integer",
    "evaluation: {scoring: {recall_at: [0, -3]}}": "recall_at.0 = 0: input should be greater.*recall_at.1 = -3: input",
    "evaluation: {scoring: {recall_at: [1, 3, 1]}}": "evaluation.scoring.recall_at = .1, 3, 1.: should name 1 once",
    "synthesis: {num_passages_for: {simple: -1}}": "synthesis.num_passages_for.simple = -1: input should be greater",
    "joint: {top_k: 21}": "joint.top_k = 21: should not exceed candidates.size = 20",
    "joint: {candidates: 2}": "joint.candidates = 2: should be at least joint.top_k = 3",
    "instruction: {top_k: 21}": "instruction.top_k = 21: should not exceed candidates.size = 20",
    "candidates: {train_size: 2}": "joint.top_k = 3: should not exceed candidates.train_size = 2",
    "candidates: {size: 2}": "evaluation.top_k = 3: should not exceed candidates.size = 2",
    "backbone: {dtype: float16}": "backbone.dtype = 'float16': should be bfloat16 or float32 to train .pretraining.opt",
    "synthesis: {engine: openai}": "synthesis.base_url = None: should be the server's address",
    "synthesis: {base_url: localhost}": "synthesis.base_url = 'localhost': should be an http.s. address",
    "backbone: {source: 'random:foo'}": "backbone.source = 'random:foo': should be one of random:llama, ",
    "backbone: {source: ''}": "backbone.source = '': string should have at least 1 character",
    "backbone: {source: '${CLARA_UNSET}/m'}": r"CLARA_UNSET\}/m': .*needs the environment variable CLARA_UNSET; set",
    "synthesis: {published: $CLARA_UNSET/p}": "synthesis.published = .* needs the environment variable CLARA_UNSET",
    "benchmarks: {nq: {test: ''}}": "benchmarks.nq.test = '': string should have at least 1 character",
    "corpus: {source: {location: ''}}": "corpus.source.location = '': string should have",
    "corpus: {source: {sha256: abc}}": "corpus.source.sha256 = 'abc': should be 64 hexadecimal digits",
    "seed: 4294967296": "seed = 4294967296: input should be less than or equal to 4294967295",
    "joint: {optimization: {micro_batch_size: 3}}": "joint.optimization.batch_size = .*: should be a multiple of micro",
    "joint: {optimization: {micro_batch_tokens: 0}}": "micro_batch_tokens = 0: input should be greater than or equal",
    "synthesis: {kinds: []}": "synthesis.kinds = ..: list should have at least 1 item",
    "synthesis: {kinds: [riddle]}": "synthesis.kinds.0 = 'riddle': input should be 'simple', 'complex' or 'paraphrase'",
    "synthesis: {kinds: [complex]}": "pretraining.kinds = .'simple'.: should be among synthesis.kinds = .'complex'.",
    "ratios: [4, 16, 4]": "ratios = .4, 16, 4.: should name 4 once",
    "ratios: [257]": "ratios = 257: should lie between 1 and memory.document_max_tokens = 256",
    "variants: {x: {nonsense: {top_k: 1}}}": "usable: variants.x: nonsense is no known key; remove it",
    "variants: {x: {joint: {nonsense: 1}}}": "variants.x: joint.nonsense is no known key",
    "variants: {x: {memory: {document_max_tokens: 8}}}": "variants.x: ratios = 16: should lie between 1 and",
    "measurements: {which: [given, bars]}": "measurements.which.1 = 'bars': input should be 'data', 'figures', 'given'",
    "measurements: {which: [by_k], by_k: [1, 21]}": "measurements.by_k = .1, 21.: should not exceed candidates.size",
    "measurements: {grounding: {judge: {base_url: here, model: m}}}": "base_url = 'here': should be an http.s. address",
    "measurements: {of: {by_k: {variants: [bsae]}}}": "of.by_k.variants = 'bsae': should be one of the variants, base",
    "measurements: {of: {bars: {at: [4]}}}": "measurements.of.bars.*: input should be 'validation_loss'",
    "seeds: [43, 42]": "seeds = .43, 42.: should not name seed = 42, under which everything is run anyway",
    "seeds: [43]\nvariants: {base_seed43: {seed: 1}}": "variants.base_seed43: seeds makes this variant; name yours",
    "benchmarks: {squad: null}": "benchmarks.squad = None: input should be a valid dictionary",
}


def overlaid(text: str) -> dict[str, Any]:
    return configuration.merge(BASE, yaml.safe_load(text))


@pytest.mark.parametrize(("overlay", "sentence"), REFUSED.items(), ids=REFUSED)
def test_it_is_refused(overlay: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        configuration.validate(overlaid(overlay))


def test_the_same_fault_is_told_once_however_many_variants_have_it() -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.validate(overlaid("joint: {top_k: 99}\nvariants: {soft: {joint: {selection: soft}}}"))
    assert str(caught.value).count("joint.top_k = 99") == 1


@pytest.mark.parametrize("written", ["1e3", "1.0e3", "1.e3", "1e-5", "1E-5", "5e+2"])
@pytest.mark.parametrize("key", ["learning_rate", "steps"])
def test_what_the_message_advises_to_write_is_read_as_that_number(key: str, written: str) -> None:
    overlay = f"joint: {{optimization: {{{key}: {written}}}}}"
    with pytest.raises(ConfigError) as caught:
        configuration.validate(overlaid(overlay))
    advice = re.search(r"write ([^)]+)\)", str(caught.value))
    if key == "steps" and float(written) < 1:
        assert advice is None
        return
    assert advice is not None
    read = yaml.safe_load(advice[1])
    assert read == float(written)
    assert isinstance(read, int if key == "steps" else float)


def test_a_whole_number_with_a_point_is_no_count() -> None:
    with pytest.raises(ConfigError, match=r"joint.optimization.steps = 1000.0: .*integer \(write 1000\)"):
        configuration.validate(overlaid("joint: {optimization: {steps: 1.0e+3}}"))


def test_null_in_an_overlay_drops_a_benchmark_or_a_variant() -> None:
    merged = overlaid("benchmarks: {musique: null, nq: {num_train: null}}")
    assert list(merged["benchmarks"]) == ["nq", "hotpotqa", "2wiki"]
    assert "musique" in BASE["benchmarks"]
    with_variant = configuration.merge(merged, {"variants": {"soft": {"joint": {"selection": "soft"}}}})
    assert list(configuration.merge(with_variant, {"variants": {"soft": None}})["variants"]) == ["base"]
    configuration.validate(merged)


def test_null_elsewhere_is_a_value() -> None:
    merged = overlaid("corpus: {license: null, passages: {per_article: null}}\nbenchmarks: {nq: {num_test: null}}")
    config = configuration.validate(merged)
    assert (config.corpus.license, config.corpus.passages.per_article, config.benchmarks["nq"].num_test) == (None,) * 3


def test_environment_variables_are_expanded_where_a_path_is_read_and_not_in_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLARA_MODELS", "/models")
    merged = overlaid("backbone: {source: '${CLARA_MODELS}/small'}")
    source = configuration.validate(merged).backbone.source
    assert source == "${CLARA_MODELS}/small"
    assert expand(source) == expand("$CLARA_MODELS/small") == "/models/small"
    monkeypatch.setenv("CLARA_MODELS", "")
    with pytest.raises(ConfigError, match="needs the environment variable CLARA_MODELS"):
        expand(source)


def test_a_variable_that_many_settings_need_is_told_once() -> None:
    merged = overlaid(
        "backbone: {source: $CLARA_UNSET/m}\nsynthesis: {published: $CLARA_UNSET/p, model: $CLARA_OTHER/q}\nrun: '-'"
    )
    with pytest.raises(ConfigError) as raised:
        configuration.validate(merged)
    told = str(raised.value)
    assert told.count("variable CLARA_UNSET") == told.count("variable CLARA_OTHER") == 1
    assert "export CLARA_UNSET=… (1 more setting needs it)" in told


def test_every_variant_is_run_again_under_every_further_seed() -> None:
    merged = overlaid("seeds: [7, 8]\nvariants: {soft: {joint: {selection: soft}}}")
    variants = configuration.with_seeds(merged)["variants"]
    assert list(variants) == ["base", "soft", "base_seed7", "soft_seed7", "base_seed8", "soft_seed8"]
    assert variants["base_seed7"] == {"seed": 7}
    assert variants["soft_seed8"] == {"joint": {"selection": "soft"}, "seed": 8}
    assert list(merged["variants"]) == ["base", "soft"]
    configuration.validate(configuration.with_seeds(merged | {"seeds": []}))


def test_a_configuration_is_refused_without_those_that_it_lies_over_and_before_them(tmp_path: Path) -> None:
    configs = Path(__file__).parents[2] / "configs"
    upper, lower = configs / "small-cpu.yaml", tmp_path / "small.yaml"  # where it lies does not matter
    lower.write_text((configs / "small.yaml").read_text())
    merged = configuration.merge(BASE, configuration.load(upper))
    configuration.require_below(merged, [lower, upper])
    configuration.require_below(BASE, [])
    with pytest.raises(ConfigError, match=r"run small_cpu lies over configs/small.yaml .*--configfile configs/small.y"):
        configuration.require_below(merged, [upper])
    # Also where the lower file, read last, has taken the key away with its own.
    for values in (merged, BASE):
        with pytest.raises(ConfigError, match=r"small-cpu.yaml lies over configs/small.yaml .* comes after it"):
            configuration.require_below(values, [upper, lower])


def test_variants_of_rows_that_are_not_made_are_told_with_their_kinds() -> None:
    variants = {
        "all": {"pretraining": {"kinds": ["simple", "complex"]}},
        "none": {"pretraining": {"kinds": ["complex"]}},
    }
    variants["none"]["pretraining"]["optimization"] = {"steps": 0}
    found = configuration.merge(BASE, {"synthesis": {"kinds": ["simple"]}, "variants": variants})
    assert configuration.without_rows(found) == {"all": ["complex"]}, "the other is not pretrained"
    assert configuration.validate(found).variants.keys() == {"base", "all", "none"}
