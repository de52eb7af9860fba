from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, QUERY_REASONER
from clara.model.clara import ClaraModel
from clara.training.objectives import Objective, Totals
from tests import tiny
from tests.training.test_joint import ranking
from tests.training.test_objectives import joint, who_learned

Make = Callable[..., ClaraModel]


def mapped(model: ClaraModel, *, moved: bool = True) -> ClaraModel:
    """`model` with a query reasoner and its map, away from the identity where `moved`."""
    model.add_query_reasoner("compressor", question_map=True)
    if moved:
        matrix = model.roles[QUERY_REASONER].question_map
        chance = torch.Generator().manual_seed(4)
        matrix.data = 0.02 * torch.randn(matrix.shape, generator=chance)  # type: ignore[union-attr]
    return model.eval()


def test_the_map_starts_at_the_identity_to_the_bit(make_model: Make) -> None:
    plain, with_map = make_model(), mapped(make_model(), moved=False)
    plain.add_query_reasoner("compressor")
    inputs = [plain.tokens.to_compress(text) for text in tiny.TEXTS]
    expected = plain.eval().encode(QUERY_REASONER, inputs).vectors
    assert torch.equal(with_map.encode(QUERY_REASONER, inputs).vectors, expected)


def test_the_map_turns_what_a_question_has_apart_from_the_centre(make_model: Make) -> None:
    model = mapped(make_model(), moved=False)
    model.centre = torch.zeros(64).index_fill(0, torch.tensor(0), 1.0)
    matrix = torch.zeros(64, 64)
    matrix[0, 1], matrix[2, 3] = 0.2, 0.4  # the first number feeds the second, the third the fourth
    model.roles[QUERY_REASONER].question_map.data = matrix  # type: ignore[union-attr]
    vector = torch.zeros(64).index_copy(0, torch.tensor([0, 2]), torch.tensor([3.0, 0.5]))
    turned = model.turned(QUERY_REASONER, vector)
    assert turned[:4].tolist() == [3.0, 2.0, 0.5, 1.0]  # 0 + 5 * 0.2 * (3 - 1) and 0 + 5 * 0.4 * 0.5
    assert not turned[4:].any()


def test_the_map_is_the_questions_alone(make_model: Make) -> None:
    plain, with_map = make_model(), mapped(make_model())
    plain.add_query_reasoner("compressor")
    inputs = [plain.tokens.to_compress(text) for text in tiny.TEXTS]
    documents = plain.eval().encode(COMPRESSOR, inputs).vectors
    assert torch.equal(with_map.encode(COMPRESSOR, inputs).vectors, documents)
    questions = with_map.encode(QUERY_REASONER, inputs).vectors
    assert (plain.encode(QUERY_REASONER, inputs).vectors - questions).abs().max() > 1e-3


def test_a_checkpoint_keeps_the_map_and_its_store(make_model: Make, tmp_path: Path) -> None:
    plain, with_map = make_model(), mapped(make_model())
    plain.add_query_reasoner("compressor")
    kept = checkpoint.load(tiny.save(with_map, tmp_path / "a", stage="joint"), dtype="float32")
    inputs = [plain.tokens.to_compress(text) for text in tiny.TEXTS]
    with torch.no_grad():
        expected = with_map.encode(QUERY_REASONER, inputs).vectors
        assert torch.equal(kept.model.encode(QUERY_REASONER, inputs).vectors, expected)
    without = checkpoint.load(tiny.save(plain, tmp_path / "b", stage="joint"), dtype="float32")
    assert without.model.roles[QUERY_REASONER].question_map is None
    assert kept.compressor_hash == without.compressor_hash


@pytest.mark.parametrize("make", [joint, ranking])
def test_answers_and_labels_both_teach_the_map(make: Callable[[ClaraModel], Objective], make_model: Make) -> None:
    model = mapped(make_model(), moved=False)
    model.set_learning([QUERY_REASONER])
    examples = tiny.question_examples(model)
    make(model)(examples, Totals.of(examples), progress=0.0, seed=1).loss.backward()  # type: ignore[no-untyped-call]
    assert QUERY_REASONER in who_learned(model)
