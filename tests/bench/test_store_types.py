"""Types of store are compared question by question, on pools and on synthesized pairs."""

from pathlib import Path

import pytest

from clara.bench.store_types import BASE, compare_types, pool_of_pairs
from clara.config.evaluation import Generation
from clara.evaluation.answering import Pool
from clara.model.checkpoint import CheckpointCard, LoadedCheckpoint
from clara.model.clara import ClaraModel
from clara.model.compression import build_store
from clara.records import Pair, Passage, Question, document_id

PASSAGES = [Passage(id=document_id(f"{n}\nriver {n}"), title=str(n), text=f"river {n}") for n in range(30)]


def pair(number: int, question: str = "Which river?", document: str | None = None) -> Pair:
    text = document or PASSAGES[number].document
    return Pair(
        id=str(number), document_id="", document=text, kind="simple", question=question, answer=f"river {number}"
    )


def test_each_pair_is_asked_with_its_document_once_in_a_full_pool() -> None:
    pairs = [pair(0), pair(1), pair(2, question=""), pair(3, document="Elsewhere\nunknown")]
    pool = pool_of_pairs(pairs, PASSAGES)
    assert [question.id for question in pool.questions] == ["0", "1"]
    for number, question in enumerate(pool.questions):
        assert len(question.docs) == len(set(question.docs)) == 20
        (place,) = question.pos_index
        assert question.docs[place] == PASSAGES[number].document
        assert question.golden_answers == [f"river {number}"]
    assert pool.questions == pool_of_pairs(pairs, PASSAGES).questions


def test_fewer_documents_than_a_pool_holds_are_all_candidates() -> None:
    (question,) = pool_of_pairs([pair(1)], PASSAGES[:5]).questions
    assert sorted(question.docs) == sorted(passage.document for passage in PASSAGES[:5])


@pytest.mark.slow
def test_types_are_compared_with_bfloat16_on_the_same_questions(model: ClaraModel, tmp_path: Path) -> None:
    model.add_query_reasoner("compressor")
    card = CheckpointCard(
        stage="joint", shape=model.shape, backbone="", model_hash="", tokenizer_hash="", learned=[], roles=[]
    )
    loaded = LoadedCheckpoint(model.requires_grad_(False).eval(), card, "hash")
    manifest = tmp_path / "store" / "manifest.json"
    build_store(
        loaded, PASSAGES, manifest, state=tmp_path / "state", dtype="bfloat16", shard_documents=64, batch_tokens=512
    )
    docs = [passage.document for passage in PASSAGES[:6]]
    asked = [Question(id=str(n), question="Where?", golden_answers=["a"], docs=docs, pos_index=[n]) for n in range(3)]
    generation = Generation(max_new_tokens=3, batch_size=4, engine="transformers")
    found = {
        row.dtype: row
        for row in compare_types(
            loaded, manifest, [Pool("nq", "oracle", asked)], tmp_path, top_k=2, generation=generation
        )
    }
    assert set(found) == {"float32", "bfloat16", "int8", "int4"}
    base = found[BASE]
    assert (base.f1_less_bfloat16, base.f1_from, base.f1_to, base.same_answers) == (0, 0, 0, 100)
    assert all(row.questions == 3 and row.loss > 0 for row in found.values())
    assert abs(found["int8"].loss - base.loss) < abs(found["int4"].loss - base.loss) + 0.01
    sizes = [found[name].bytes_per_document for name in ("float32", "bfloat16", "int8", "int4")]
    assert sizes == sorted(sizes, reverse=True)
