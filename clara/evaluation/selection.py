"""Which documents of a question's pool are read: chosen by the query reasoner or by BM25, given, or none."""

from collections.abc import Mapping, Sequence

from clara.data.candidates import rank_candidates
from clara.errors import CheckpointError
from clara.evaluation.answering import Pool, Task
from clara.model.adapters import QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.model.encoding import encode_texts
from clara.model.scoring import pad_pools
from clara.model.store import MemoryStore
from clara.records import Question
from clara.tokens import CompressorInput

QUERY_BATCH_TOKENS = 4096
ENCODED_TOGETHER = 512
"""Questions whose memories are held at once; 512 of 64 vectors of 4,096 are 270 MB in bfloat16."""
SCORED_TOGETHER = 16
"""Questions whose pools are scored together; 20 documents of 64 vectors of 4,096 are 10 MB in bfloat16."""


def select_with_reasoner(model: ClaraModel, store: MemoryStore, pools: Sequence[Pool], *, top_k: int) -> list[Task]:
    """Tasks whose documents the query reasoner ranked by the model's form of score and selected, best first.

    Raises:
        CheckpointError: the model has no query reasoner.
    """
    if not model.has_query_reasoner:
        raise CheckpointError(
            "a checkpoint without a query reasoner cannot select documents; predict with one of joint training"
        )
    asked = [(pool, question) for pool in pools for question in pool.questions]
    inputs = {text: model.tokens.to_compress(text) for text in {question.question for _, question in asked}}
    places: dict[str, list[int]] = {text: [] for text in inputs}
    for place, (_, question) in enumerate(asked):
        places[question.question].append(place)
    # Each text once, though several pools ask it; those of a length together, so that parts pad no more than a whole.
    texts = sorted(inputs, key=lambda text: (-len(inputs[text].ids), text))
    tasks: dict[int, Task] = {}
    for first in range(0, len(texts), ENCODED_TOGETHER):
        part = texts[first : first + ENCODED_TOGETHER]
        chosen = [place for text in part for place in places[text]]
        found = _scores(model, store, {text: inputs[text] for text in part}, [asked[place][1] for place in chosen])
        for place, scores in zip(chosen, found, strict=True):
            ranking = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
            rounded = [round(score, 6) for score in scores]
            tasks[place] = Task(*asked[place], ranking, rounded, ranking[:top_k])
    return [tasks[place] for place in range(len(asked))]


def _scores(
    model: ClaraModel, store: MemoryStore, inputs: Mapping[str, CompressorInput], questions: Sequence[Question]
) -> list[list[float]]:
    """Scores of each question's documents; `inputs` are the questions as the reasoner reads them, by text."""
    rows = {text: row for row, text in enumerate(inputs)}
    encoded = encode_texts(model, list(inputs.values()), batch_tokens=QUERY_BATCH_TOKENS, role=QUERY_REASONER)
    scores = []
    for first in range(0, len(questions), SCORED_TOGETHER):
        part = questions[first : first + SCORED_TOGETHER]
        sizes = [len(question.docs) for question in part]
        memories = store.memories([text for question in part for text in question.docs])
        documents, valid = pad_pools(model.backbone.put(memories), sizes)
        queries = model.backbone.put(encoded[[rows[question.question] for question in part]])
        found = model.scores(queries, documents, valid).cpu().tolist()
        scores += [row[:size] for row, size in zip(found, sizes, strict=True)]
    return scores


def select_with_bm25(pools: Sequence[Pool], *, top_k: int) -> list[Task]:
    """Tasks whose documents are the best of each question's own pool by BM25."""
    tasks = []
    for pool in pools:
        for question in pool.questions:
            ranked = rank_candidates(question)
            tasks.append(Task(pool, question, ranked.ranking, ranked.scores, ranked.ranking[:top_k]))
    return tasks


def select_given(pools: Sequence[Pool], *, top_k: int) -> list[Task]:
    """Tasks whose documents are given, not chosen, as where a compressor alone is judged (Tables 1 and 5).

    In oracle pools the gold documents are among them, the others are BM25's best; in normal pools all are BM25's best.
    The generator reads them in BM25's order, so that the place of a document does not tell that it is gold.
    """
    tasks = []
    for pool in pools:
        for question in pool.questions:
            ranked = rank_candidates(question).ranking
            gold = question.pos_index[:top_k] if pool.setting == "oracle" else []
            others = [index for index in ranked if index not in gold][: top_k - len(gold)]
            read = [index for index in ranked if index in {*gold, *others}]
            tasks.append(Task(pool, question, None, None, read))
    return tasks


def without_documents(pools: Sequence[Pool]) -> list[Task]:
    """Tasks without any document."""
    return [Task(pool, question, None, None, []) for pool in pools for question in pool.questions]
