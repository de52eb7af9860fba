"""Answers by the number of documents read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clara.config.evaluation import Generation
from clara.errors import CheckpointError, DataError
from clara.evaluation.answering import Pool
from clara.evaluation.predict import with_memories
from clara.evaluation.scoring import Resampling
from clara.measurements.by_k import predict_by_k, score_by_k
from clara.model import checkpoint
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.clara import ClaraModel
from clara.records import Prediction
from tests import tiny

GENERATION = Generation(max_new_tokens=3, batch_size=2, engine="transformers")
RESAMPLING = Resampling(samples=100, confidence=0.9, seed=1)


@pytest.fixture
def loaded(model: ClaraModel, tmp_path: Path) -> LoadedCheckpoint:
    model.add_query_reasoner("compressor")
    return checkpoint.load(tiny.save(model, tmp_path, stage="joint"), dtype="float32")


def test_k_changes_what_is_read_and_nothing_else(loaded: LoadedCheckpoint, tmp_path: Path) -> None:
    store, pools = tiny.store(loaded, tmp_path), [Pool("nq", "oracle", tiny.questions())]
    found = predict_by_k("x", loaded, store, pools, numbers=[3, 1, 8], generation=GENERATION, state=None)
    alone = with_memories("x-k3", loaded, store, pools, top_k=3, generation=GENERATION, state=None)
    assert found[3] == alone
    for k, rows in found.items():
        assert [row.system for row in rows] == [f"x-k{k}"] * 4
        for row, of_three in zip(rows, alone, strict=True):
            assert row.ranking == of_three.ranking
            assert row.selected == (row.ranking or [])[:k]  # all of a pool that is smaller than k


def test_a_damaged_store_or_a_checkpoint_that_cannot_rank_is_refused(
    loaded: LoadedCheckpoint, tmp_path: Path, make_model: Callable[..., ClaraModel]
) -> None:
    store, pools = tiny.store(loaded, tmp_path), [Pool("nq", "oracle", tiny.questions())]
    plain = checkpoint.load(tiny.save(make_model(), tmp_path / "plain"), dtype="float32")
    others = tiny.store(plain, tmp_path / "others")
    with pytest.raises(CheckpointError, match="without a query reasoner cannot select documents"):
        predict_by_k("x", plain, others, pools, numbers=[1], generation=GENERATION, state=None)
    shard = next(store.parent.glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-3] ^= 64
    shard.unlink()
    shard.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{shard.name} in .* is not as it was written"):
        predict_by_k("x", loaded, store, pools, numbers=[1], generation=GENERATION, state=None)


def row(k: int, number: int, ranking: list[int], prediction: str, *, system: str = "x") -> Prediction:
    return Prediction(
        system=f"{system}-k{k}", benchmark="nq", setting="oracle", id=f"q{number}", question="Who?",
        golden_answers=["Ida"], prediction=prediction, ranking=ranking, scores=None, selected=ranking[:k],
        pos_index=[0, 1],
    )  # fmt: skip


def test_scores_hold_the_recall_of_their_own_k() -> None:
    one = [row(1, 0, [0, 2, 1], "Ida"), row(1, 1, [2, 0, 1], "Bo")]
    three = [row(3, 0, [0, 2, 1], "Ida"), row(3, 1, [2, 0, 1], "Ida")]
    found = score_by_k([three, one], RESAMPLING)
    assert (found["system"], found["confidence"]) == ("x", 0.9)
    cells = {(r["k"], r["metric"]): r["value"] for r in found["rows"] if r["benchmark"] == "nq"}
    assert (cells[1, "em"], cells[3, "em"]) == (50.0, 100.0)
    assert (cells[1, "recall"], cells[3, "recall"]) == (25.0, 100.0)
    assert [r["k"] for r in found["rows"]] == sorted(r["k"] for r in found["rows"])
    assert {r["benchmark"] for r in found["rows"]} == {"nq", "average"}


def test_other_predictions_are_refused() -> None:
    named = [row(1, 0, [0], "Ida").model_copy(update={"system": "text_rag"})]
    with pytest.raises(DataError, match="the system text_rag does not end with its number of documents"):
        score_by_k([named], RESAMPLING)
    with pytest.raises(DataError, match=r"predictions of 2 systems \(x, y\)"):
        score_by_k([[row(1, 0, [0], "Ida")], [row(2, 0, [0], "Ida", system="y")]], RESAMPLING)
