"""Scores of documents by their memories: values by hand, and what they do not depend on."""

import pytest
import torch

from clara.model.scoring import cosine_scores, late_interaction_scores, pad_pools


def test_late_interaction_by_hand() -> None:
    question = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    documents = torch.tensor([[[[0.0, 3.0], [5.0, 0.0]], [[1.0, 1.0], [-1.0, 0.0]]]])
    # The first holds both directions of the question, at other places; the second has 45 degrees to each at best.
    scores = late_interaction_scores(question, documents, torch.zeros(2))
    torch.testing.assert_close(scores, torch.tensor([[1.0, 0.5**0.5]]))
    torch.testing.assert_close(cosine_scores(question, documents)[0, 0], torch.tensor(0.0))


def test_the_gradient_of_a_cosine_is_its_jacobian() -> None:
    """ds/dq = (z/|z| - s q/|q|) / |q| (paper, appendix A), and the same with q and z changed over; in float32."""
    generator = torch.Generator().manual_seed(0)
    question, document = (torch.randn(1, 3, 8, generator=generator, requires_grad=True) for _ in range(2))
    score = cosine_scores(question, document[None])
    score.backward()  # type: ignore[no-untyped-call]
    for one, other in ((question, document), (document, question)):
        q, z = one.detach(), other.detach()
        expected = (z / z.norm() - score.item() * q / q.norm()) / q.norm()
        torch.testing.assert_close(one.grad, expected, rtol=1e-5, atol=1e-6)


def test_late_interaction_does_not_depend_on_the_order_of_the_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    question, documents = torch.randn(2, 3, 8, generator=generator), torch.randn(2, 5, 4, 8, generator=generator)
    centre = torch.randn(8, generator=generator)
    scores = late_interaction_scores(question, documents, centre)
    turned = late_interaction_scores(question.flip(1), documents.flip(2), centre)
    torch.testing.assert_close(turned, scores)


def test_what_all_vectors_share_is_taken_out() -> None:
    generator = torch.Generator().manual_seed(0)
    question, documents = torch.randn(1, 3, 8, generator=generator), torch.randn(1, 5, 4, 8, generator=generator)
    common = 100 * torch.ones(8)
    plain = late_interaction_scores(question, documents, torch.zeros(8))
    shifted = late_interaction_scores(question + common, documents + common, common)
    torch.testing.assert_close(shifted, plain, atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", ["flattened", "late_interaction"])
def test_absent_candidates_score_zero(form: str) -> None:
    question, documents = torch.ones(1, 2, 4), torch.ones(1, 3, 2, 4)
    valid = torch.tensor([[True, False, True]])
    if form == "flattened":
        scores = cosine_scores(question, documents, valid)
    else:
        scores = late_interaction_scores(question, documents, torch.zeros(4), valid)
    torch.testing.assert_close(scores, torch.tensor([[1.0, 0.0, 1.0]]))


def test_pools_of_unequal_size_are_padded_and_marked() -> None:
    padded, valid = pad_pools(torch.arange(1.0, 5.0)[:, None, None].expand(4, 2, 3), [1, 3])
    assert padded[:, :, 1, 2].tolist() == [[1, 0, 0], [2, 3, 4]]
    assert padded.shape == (2, 3, 2, 3)
    assert valid.tolist() == [[True, False, False], [True, True, True]]


def test_late_interaction_gradient_reaches_every_vector_of_the_question() -> None:
    generator = torch.Generator().manual_seed(0)
    question = torch.randn(1, 3, 8, generator=generator, requires_grad=True)
    documents = torch.randn(1, 5, 4, 8, generator=generator)
    late_interaction_scores(question, documents, torch.zeros(8))[0, 2].backward()  # type: ignore[no-untyped-call]
    assert question.grad is not None
    assert bool((question.grad.norm(dim=-1) > 0).all())
