"""Information recovery: documents rewritten from their memories, and what of them is still there (paper, Table 16)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress as chosen_by
from pathlib import Path
from typing import Any, NamedTuple

import torch

from clara.config.measurements import spacy_install
from clara.config.rules import RewriteDocuments
from clara.errors import ConfigError, DataError
from clara.evaluation.answering import Pool, Task, predictions
from clara.evaluation.scoring import Resampling
from clara.files import read_json, text_id
from clara.measurements import overlap
from clara.measurements.intervals import rows
from clara.model.adapters import GENERATOR
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.encoding import encode_texts
from clara.model.generator import generate
from clara.records import Pair, Prediction, Question, document_id
from clara.training.examples import held_out
from clara.training.rows import Unit, chosen_rows, units

BATCH_TOKENS = 4096


class Likeness(NamedTuple):
    """BERTScore of rewritten documents with the originals."""

    encoder: str
    layer: int
    f1: list[float]
    """Of each row."""


def choose(pairs: Iterable[Pair], questions: Sequence[Question], settings: RewriteDocuments) -> dict[str, list[str]]:
    """`seen`: documents that pretraining learned from; `unseen`: gold documents of which no row was synthesized.

    Of each the first `documents` by id, which is a hash: the same for every checkpoint of a run.

    Args:
        pairs: the rows that pretraining was given, gone through several times.
        questions: of tests.
        settings: which rows pretraining took, and how many documents are wanted.

    Raises:
        DataError: there are none of a sort.
    """
    plan = settings.pretraining
    rows = chosen_rows(pairs, plan.rows, document_share=plan.document_share)

    def made() -> Iterator[Unit]:
        return units(rows, kinds=plan.kinds, qa_target=plan.qa_target)

    shared: dict[str, str] = {}  # one text for all examples of a document
    names = [shared.setdefault(unit.row.document_id, unit.row.document_id) for unit in made()]
    training, _ = held_out(names, count=plan.optimization.validation_examples, seed=settings.seed)
    learned = bytearray(len(names))
    for number in training:
        learned[number] = 1
    gold = {document_id(text): text for row in questions for text in (row.docs[index] for index in row.pos_index)}
    unseen = dict(gold)
    for pair in pairs:
        unseen.pop(pair.document_id, None)
    if not training or not unseen:
        raise DataError(
            f"there are no {'unseen' if training else 'seen'} documents to rewrite: training has "
            f"{len({names[number] for number in training})}, and of {len(gold)} gold documents of the test questions "
            f"{len(unseen)} are in no synthesized row"
        )
    return {
        "seen": _first((unit.row.document for unit in chosen_by(made(), learned)), settings.documents),
        "unseen": _first(unseen.values(), settings.documents),
    }


def _first(texts: Iterable[str], number: int) -> list[str]:
    """The first `number` distinct texts by id, few more of them in memory."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(document_id(text), text)
        if len(found) > 2 * number:
            found = {id_: found[id_] for id_ in sorted(found)[:number]}
    return [found[id_] for id_ in sorted(found)[:number]]


def rewrite(
    system: str,
    loaded: LoadedCheckpoint,
    documents: Mapping[str, Sequence[str]],
    *,
    max_new_tokens: int,
    batch_size: int,
    state: Path | None,
) -> list[Prediction]:
    """What the generator writes when asked to rewrite each document from its memories alone.

    Rows are predictions: the benchmark is `seen` or `unseen`, the gold answer the document itself.

    Args:
        system: name of the checkpoint.
        loaded: compressor and generator are used.
        documents: `seen` and `unseen` texts.
        max_new_tokens: tokens of a paraphrase at most.
        batch_size: documents rewritten together.
        state: folder where rows of an interrupted run wait; None keeps none.
    """
    model = loaded.model
    texts = list(dict.fromkeys(text for part in documents.values() for text in part))
    vectors = encode_texts(model, [model.tokens.to_compress(text) for text in texts], batch_tokens=BATCH_TOKENS)
    memory = dict(zip(texts, vectors, strict=True))
    prompt = model.tokens.paraphrase_prompt(1)
    model.backbone.require_room(len(prompt) + max_new_tokens, "the prompt for a paraphrase with its text")

    def answer(batch: Sequence[Task]) -> list[str]:
        chosen = torch.stack([memory[task.question.docs[0]] for task in batch]).to(model.backbone.device)
        prompts = [prompt] * len(batch)
        return generate(model.backbone, model.generator, prompts, chosen, model.added, max_new_tokens=max_new_tokens)

    tasks = [
        Task(Pool(name, "oracle", []), _as_question(text), None, None, [0])
        for name, part in documents.items()
        for text in part
    ]
    origin = text_id("\n".join([loaded.card.weights_hash, str(max_new_tokens), *texts]))
    done_file = state / f"rewritten-{origin}.jsonl" if state else None
    with model.adapters.merged(GENERATOR):
        return predictions(
            system,
            tasks,
            answer,
            length=lambda task: len(model.tokens.text(task.question.docs[0])),
            batch_size=batch_size,
            done_file=done_file,
        )


def _as_question(text: str) -> Question:
    return Question(id=document_id(text), question="rewrite", golden_answers=[text], docs=[text], pos_index=[0])


def read_likeness(path: Path, count: int) -> Likeness:
    """What `measure_bert_score` made of `count` rows.

    Raises:
        DataError: the file is another, or of other rows.
    """
    content = read_json(path)
    try:
        found = Likeness(str(content["encoder"]), int(content["layer"]), [float(value) for value in content["f1"]])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no BERTScore ({error!r}); delete it and run the step that makes it") from error
    if len(found.f1) != count:
        raise DataError(f"{path} has {len(found.f1)} rows, {count} were rewritten; run the step that makes it again")
    return found


def score(
    written: Sequence[Prediction], resampling: Resampling, *, entities: str | None, likeness: Likeness | None
) -> dict[str, Any]:
    """The content of `recovery/{checkpoint}.json`: overlap of the rewritten with the original documents, in percent.

    Args:
        written: rewritten documents, the original as gold answer.
        resampling: how intervals are made.
        entities: a spaCy model that finds them as well.
        likeness: BERTScore of each row.

    Raises:
        ConfigError: spaCy or its model is not installed.
    """
    texts = [(row.prediction or "", row.golden_answers[0]) for row in written]
    found = [_overlap(text, original) for text, original in texts]
    if entities is not None:
        found = [one | {"entities": share} for one, share in zip(found, _by_spacy(texts, entities), strict=True)]
    if likeness is not None:
        found = [one | {"bert_score": value} for one, value in zip(found, likeness.f1, strict=True)]
    groups: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for row, one in zip(written, found, strict=True):
        groups.setdefault((row.benchmark,), []).append(one)
    return {
        "checkpoint": written[0].system,
        "confidence": resampling.confidence,
        "entities": entities,
        "bert_score": likeness.encoder if likeness else None,
        "bert_score_layer": likeness.layer if likeness else None,
        "rows": rows(groups, ["documents"], resampling),
    }


def _overlap(text: str, original: str) -> dict[str, float]:
    shares = {
        "entities_by_form": overlap.kept(overlap.names(original) | overlap.numbers(original), text),
        "numbers": overlap.kept(overlap.numbers(original), text),
    }
    rouge = {"rouge1": overlap.rouge_1(text, original), "rougeL": overlap.rouge_l(text, original)}
    return rouge | {name: share for name, share in shares.items() if share is not None}


def _by_spacy(texts: Sequence[tuple[str, str]], model: str) -> list[float]:
    """|entities of both| / |entities of the original| by spaCy, lower-cased; 1 of none, as in the released code."""
    try:
        import spacy

        found = spacy.load(model)
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"measurements.recovery.entities = {model} needs spaCy and that model ({error}); "
            f"{spacy_install(model)}, or set null"
        ) from error

    def entities(text: str) -> set[str]:
        return {entity.text.lower() for entity in found(text).ents}

    shares = []
    for text, original in texts:
        wanted = entities(original)
        shares.append(len(wanted & entities(text)) / len(wanted) if wanted else 1.0)
    return shares
