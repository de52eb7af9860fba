"""The map of documents: where they are compared with questions, and nowhere else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clara.model import checkpoint, packed
from clara.model.adapters import COMPRESSOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.training.objectives import Objective, Totals
from tests import tiny
from tests.training.test_joint import ranking
from tests.training.test_objectives import joint, who_learned

Make = Callable[..., ClaraModel]
FORMS = ("flattened", "late_interaction")
QUESTIONS = ("Who left?", "Where is the city?")
KEY = f"{QUERY_REASONER}.own.document_map"


def mapped(model: ClaraModel, *, moved: bool = True) -> ClaraModel:
    """`model` with a query reasoner that has both maps, away from the identity where `moved`."""
    model.add_query_reasoner("compressor", question_map=True, document_map=True)
    if moved:
        chance = torch.Generator().manual_seed(4)
        for name in ("question_map", "document_map"):
            matrix = getattr(model.roles[QUERY_REASONER], name)
            matrix.data = 0.02 * torch.randn(matrix.shape, generator=chance)
    return model.eval()


def vectors(model: ClaraModel, role: str, texts: Any) -> Tensor:
    with torch.no_grad():
        return model.encode(role, [model.tokens.to_compress(text) for text in texts]).vectors


def scores(model: ClaraModel) -> Tensor:
    documents = vectors(model, COMPRESSOR, tiny.TEXTS)[None].expand(len(QUESTIONS), -1, -1, -1)
    return model.scores(vectors(model, QUERY_REASONER, QUESTIONS), documents).detach()


@pytest.mark.parametrize("score", FORMS)
def test_scores_start_unchanged_and_move_with_the_map(score: str, make_model: Make) -> None:
    plain, unmoved, moved = (
        make_model(score=score),
        mapped(make_model(score=score), moved=False),
        mapped(make_model(score=score)),
    )
    plain.add_query_reasoner("compressor")
    assert torch.equal(scores(plain.eval()), scores(unmoved))
    moved.roles[QUERY_REASONER].question_map.data.zero_()  # type: ignore[union-attr, operator]
    assert (scores(moved) - scores(plain)).abs().max() > 1e-3


def test_the_map_turns_what_a_document_has_apart_from_the_centre(make_model: Make) -> None:
    model = mapped(make_model(), moved=False)
    model.centre = torch.zeros(64).index_fill(0, torch.tensor(0), 1.0)
    model.document_map.data[0, 1] = 0.2  # type: ignore[union-attr]
    document = torch.zeros(64, dtype=torch.bfloat16).index_fill(0, torch.tensor(0), 3.0)
    turned = model.compared(document)
    assert turned.dtype == torch.float32  # not rounded again: near documents would tie
    assert turned[:3].tolist() == [3.0, 2.0, 0.0]  # 5 * 0.2 * (3 - 1)


def test_its_gradient_is_that_of_a_cosine_by_hand(make_model: Make) -> None:
    model = mapped(make_model(score="late_interaction"), moved=False)
    model.centre = torch.zeros(64)
    question, document = torch.zeros(1, 1, 64), torch.zeros(1, 1, 1, 64)
    question[..., 0], document[..., 0], document[..., 1] = 2.0, 3.0, 4.0
    matrix = model.document_map
    assert matrix is not None
    score = model.scores(question, document)
    score.sum().backward()  # type: ignore[no-untyped-call]
    assert score.item() == pytest.approx(0.6)
    # 5 d_i (q_j - s d_j) / |d| of unit q and unit d: 3 or 4 times (1 - 0.6 * 0.6, -0.6 * 0.8)
    torch.testing.assert_close(matrix.grad[:2, :2], torch.tensor([[1.92, -1.44], [2.56, -1.92]]))  # type: ignore[index]


@pytest.mark.parametrize("make", [joint, ranking])
def test_answers_and_labels_both_teach_it_and_the_generator_reads_what_is_stored(
    make: Callable[[ClaraModel], Objective], make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mapped(make_model(score="late_interaction"))
    model.set_learning([QUERY_REASONER])
    examples = tiny.question_examples(model)
    read: list[Tensor] = []
    losses = model.losses
    monkeypatch.setattr(model, "losses", lambda *given: read.append(given[2].detach()) or losses(*given))
    make(model)(examples, Totals.of(examples), progress=0.0, seed=1).loss.backward()  # type: ignore[no-untyped-call]
    assert QUERY_REASONER in who_learned(model)
    stored = vectors(model, COMPRESSOR, tiny.TEXTS)
    assert len(read) == (make is joint)
    for memory in torch.cat(read) if read else []:
        assert (stored - memory).abs().amax((1, 2)).min() < 1e-5


def test_a_checkpoint_keeps_it_packed_too_and_the_store_stays(make_model: Make, tmp_path: Path) -> None:
    plain, both = make_model(score="late_interaction"), mapped(make_model(score="late_interaction"))
    plain.add_query_reasoner("compressor")
    card = tiny.save(both, tmp_path / "a", stage="joint")
    kept = checkpoint.load(card, dtype="float32")
    assert torch.equal(scores(kept.model), scores(both))
    without = checkpoint.load(tiny.save(plain, tmp_path / "b", stage="joint"), dtype="float32")
    assert without.model.document_map is None
    assert kept.compressor_hash == without.compressor_hash
    tensors = checkpoint.state(both)
    packed.write(tensors, tmp_path / "small", bits=8)
    found = packed.read(tmp_path / "small")[KEY]
    torch.testing.assert_close(found, tensors[KEY], rtol=0.004, atol=0)  # bfloat16
    assert found.ne(0).any()
