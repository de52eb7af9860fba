"""The texts that a step shows the model: its largest passes, and its tokens in all.

Upper bounds: texts count as long as the settings let them be.
"""

from typing import Any, NamedTuple

from clara.model_sizes import Model
from clara.sizing.data import SHARE_OF_POOLS, examples_mb, question_counts

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "int8": 1.1, "int4": 0.6}
"""Of a value; of int8 and int4 with their scales."""
PROMPT_TOKENS = 64
"""Of the frame around question and documents, the question included."""
SHOWN_WHOLE = 1.8
"""Tokens of a document shown as text, by `document_max_tokens`: nothing cuts those that benchmarks bring. The memory of
that run's tuning on five documents of text is that of 1.5 on average."""


class Pass(NamedTuple):
    """One forward pass over texts."""

    texts: float
    length: int
    """Tokens of each."""

    @property
    def tokens(self) -> float:
        """Of all texts."""
        return self.texts * self.length


def tokens_shown(config: dict[str, Any], on_gpus: bool) -> float:
    """Tokens of a document that is shown as text; on CPUs as one that is compressed, as was measured there."""
    document: int = config["memory"]["document_max_tokens"] + 2
    own = any(given["format"] != "supports" for given in config["benchmarks"].values())
    return document * (SHOWN_WHOLE if own and on_gpus else 1)


def _memory(config: dict[str, Any], ratio: int) -> int:
    return max(1, int(config["memory"]["document_max_tokens"]) // ratio)


def examples(
    rule: str, config: dict[str, Any], section: dict[str, Any], ratio: int, n: float, shown: float
) -> list[Pass]:
    """The passes of a training over `n` examples as long as they can be.

    Args:
        section: the part of the configuration that the training reads.
        shown: tokens of a document as text (`tokens_shown`).
    """
    m, document = _memory(config, ratio), config["memory"]["document_max_tokens"] + 2
    k, answer = section.get("top_k", 1), PROMPT_TOKENS + section["max_target_tokens"]
    if rule == "tune_text_rag":
        return [Pass(n, round(k * shown) + answer)]
    generator = Pass(n, k * m + answer)
    return [Pass(n, PROMPT_TOKENS + m) if rule == "train_joint" else Pass(n * k, document + m), generator]


def micro_batch(
    rule: str, config: dict[str, Any], section: dict[str, Any], ratio: int, shown: float
) -> tuple[list[Pass], float, float]:
    """The passes of the largest micro-batch, the stored memory vectors that it reads, and its target tokens.

    Arguments are those of `examples`.
    """
    plan, target = section["optimization"], section["max_target_tokens"]
    n: float = plan["micro_batch_size"]
    most, targets = n, n * target
    if plan["micro_batch_tokens"] is not None:
        n = min(n, plan["batch_size"])
        one = sum(p.tokens for p in examples(rule, config, section, ratio, 1, shown))
        held = min(max(plan["micro_batch_tokens"], one), n * one)
        # Short documents and questions leave room for more examples, whose targets can still be long.
        slots = 0 if rule == "tune_text_rag" else section.get("top_k", 1) * _memory(config, ratio)
        frame = slots + (_memory(config, ratio) if rule == "train_joint" else slots)
        most, targets = min(n, held / max(1, frame)), min(n, held / (frame + target)) * target
        n = held / one
    pools = config["candidates"]["train_size"] or config["candidates"]["size"]
    memories = most * pools * _memory(config, ratio) if rule == "train_joint" else 0
    return examples(rule, config, section, ratio, n, shown), memories, targets


def examples_disk_mb(rule: str, config: dict[str, Any], section: dict[str, Any], ratio: int, shown: float) -> float:
    """Of a training's tokenized examples, which are deleted at its end; arguments are those of `examples`.

    Targets count half of what they may be: with the paper's settings they are a third of it on average.
    """
    document, k = config["memory"]["document_max_tokens"], section.get("top_k", 1)
    pools = config["candidates"]["train_size"] or config["candidates"]["size"]
    read = 0 if rule in ("train_joint", "tune_text_rag") else k * document
    slots = round(k * shown) if rule == "tune_text_rag" else k * _memory(config, ratio)
    ids = PROMPT_TOKENS + slots + section["max_target_tokens"] / 2 + read
    return examples_mb(rule, config, ids, pools if rule == "train_joint" else k)


def inference(
    rule: str, config: dict[str, Any], ratio: int, model: Model, shown: float
) -> tuple[list[Pass], float, float]:
    """Largest passes, tokens in all, and megabytes of results of a step that learns nothing; `shown` as `examples`."""
    m, document = _memory(config, ratio), config["memory"]["document_max_tokens"] + 2
    given, questions = config["evaluation"], question_counts(config)
    if rule == "compress_documents":
        pools = config["candidates"]
        places = (pools["train_size"] or pools["size"]) * questions[0] + pools["size"] * questions[1]
        documents = SHARE_OF_POOLS * places
        tokens, length = config["compression"]["batch_tokens"], document + m
        stored = documents * m * model.width * BYTES[config["compression"]["dtype"]] / 1e6
        return [Pass(max(1, tokens // length), length)], documents * length, stored
    if rule == "measure_memory_use":
        text = given["top_k"] * document + PROMPT_TOKENS + config["joint"]["max_target_tokens"]
        return [Pass(4, text)], 1500.0 * given["memory_use_examples"], 1.0
    asked = config["measurements"]
    if rule == "measure_states":
        states = asked["states"]["documents"]
        return [Pass(max(1, 4096 // (document + m)), document + m)], states * (document + m), 1.0
    if rule == "rewrite_documents":
        length, texts = m + PROMPT_TOKENS + asked["recovery"]["max_new_tokens"], 2 * asked["recovery"]["documents"]
        return [Pass(min(given["generation"]["batch_size"], texts), length)], texts * (length + document), 1.0
    if rule == "measure_efficiency":
        length = round(given["top_k"] * shown) + PROMPT_TOKENS + asked["efficiency"]["new_tokens"]
        work = asked["efficiency"]["questions"] * (2 * length + config["candidates"]["size"] * document)
        return [Pass(1, length)], work, 1.0
    k, generation = given["top_k"], given["generation"]
    as_text = rule in ("predict_baseline", "predict_given_text", "hard_words", "no_retrieval")
    shown *= {"hard_words": 1 / ratio, "no_retrieval": 0}.get(rule, 1)
    answers = 1
    if rule == "predict_by_k":
        k, answers = max(asked["by_k"]), len(asked["by_k"])
    length = round(k * (shown if as_text else m)) + PROMPT_TOKENS + generation["max_new_tokens"]
    pools = answers * len(config["candidates"]["settings"])
    return [Pass(generation["batch_size"], length)], pools * questions[1] * length, 2e-3 * pools * questions[1]
