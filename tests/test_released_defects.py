"""Properties that the released implementation lacks; `docs/differences.md` says which test stands for which defect."""

import ast
import math
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from clara.evaluation.answering import Pool, Task, predictions
from clara.evaluation.metrics import recall_at
from clara.losses import alignment_losses
from clara.model import checkpoint
from clara.model.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara.model.backbone import LoadedBackbone
from clara.model.clara import ClaraModel
from clara.model.topk import top_k
from clara.records import Pair
from clara.training.examples import Example, pretraining_examples
from clara.training.joint import JointObjective, score_pools
from clara.training.loop import train
from clara.training.objectives import CompressionObjective, Totals
from clara.training.question_examples import joint_examples
from clara.training.sampling import Sampler
from tests import tiny

MakeModel = Callable[..., ClaraModel]
ROOT = Path(__file__).parents[1]
WITH_OTHERS = {"huggingface_hub", "numpy", "markupsafe", "tokenizers"}
"""Libraries that come with those of requirements/main.in: with transformers, pandas, jinja2."""


class Store:
    """Memories made up for each document, without a compressor."""

    def memories(self, documents: list[str]) -> Tensor:
        chance = [torch.Generator().manual_seed(len(text)) for text in documents]
        return torch.stack([torch.randn(4, 64, generator=generator) for generator in chance])


def joint(model: ClaraModel, **changes: object) -> JointObjective:
    options = {"store": Store(), "top_k": 2, "temperature": (0.5, 0.5), "selection": "straight_through"}
    return JointObjective(model, **{**options, **changes})  # type: ignore[arg-type]


def joint_model(make_model: MakeModel, **changes: object) -> ClaraModel:
    model = make_model(**changes)
    model.add_query_reasoner("compressor")
    return model


def loss_of(objective: nn.Module, examples: list[Example], totals: Totals | None = None) -> Tensor:
    loss: Tensor = objective(examples, totals or Totals.of(examples), progress=0.0, seed=0).loss
    return loss


def touched(model: ClaraModel, role: str) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in model.role_parameters(role))


def test_every_role_survives_saving_and_loading(make_model: MakeModel, tmp_path: Path) -> None:
    model = joint_model(make_model)
    loaded = checkpoint.load(tiny.save(model, tmp_path), dtype="float32").model
    for role in (COMPRESSOR, GENERATOR, QUERY_REASONER):
        before, after = model.role_parameters(role), loaded.role_parameters(role)
        assert all(bool(p.detach().any()) for p in model.adapters.parameters(role))
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_taken_document_leaks_only_where_the_setting_says_so() -> None:
    scores = torch.tensor([[0.9, 0.4, 0.3, 0.2]])
    valid = torch.ones_like(scores, dtype=torch.bool)
    exact = top_k(scores, valid=valid, k=3, temperature=0.02).weights[0]
    leaky = top_k(scores, valid=valid, k=3, temperature=0.02, mask_epsilon=1e-8).weights[0]
    assert exact[1].tolist() == pytest.approx([0, 0.9933, 0.0067, 0], abs=1e-4)
    assert float(leaky[1, 0]) == pytest.approx(0.9986, abs=1e-4)
    assert float(leaky[2, 0]) == pytest.approx(1.0, abs=1e-4)
    torch.testing.assert_close(leaky.sum(-1), torch.ones(3))


def test_the_temperature_moves_geometrically_and_its_sharpness_is_logged(make_model: MakeModel) -> None:
    model = joint_model(make_model).eval()
    examples = tiny.question_examples(model)
    totals = Totals.of(examples)

    def p_max(temperature: tuple[float, float], progress: float) -> float:
        objective = joint(model, temperature=temperature)
        return float(objective(examples, totals, progress=progress, seed=0).metrics["p_max"])

    assert p_max((1.0, 0.01), 0.5) == pytest.approx(p_max((0.1, 0.1), 0.0))
    assert p_max((1.0, 0.01), 0.0) < p_max((1.0, 0.01), 0.5) < p_max((1.0, 0.01), 1.0)


def test_enc_memory_and_sep_rows_learn_and_the_vocabulary_does_not(make_model: MakeModel) -> None:
    model = make_model(form="plain")
    model.set_learning([COMPRESSOR, GENERATOR])
    loss_of(CompressionObjective(model, mse_weight=0.1), tiny.pair_examples(model)).backward()
    for role, count in ((COMPRESSOR, 5), (GENERATOR, 1)):
        gradient = model.roles[role].rows.grad
        assert gradient is not None
        assert gradient.abs().sum(-1).gt(0).sum() == count
    assert not model.backbone.model.get_input_embeddings().weight.requires_grad


def test_enc_memory_and_sep_rows_learn_in_joint_training_too(make_model: MakeModel) -> None:
    model = joint_model(make_model, form="plain")
    model.set_learning([QUERY_REASONER, GENERATOR])
    loss_of(joint(model), tiny.question_examples(model)).backward()
    for role, count in ((QUERY_REASONER, 5), (GENERATOR, 1)):
        gradient = model.roles[role].rows.grad
        assert gradient is not None
        assert gradient.abs().sum(-1).gt(0).sum() == count
    assert model.roles[COMPRESSOR].rows.grad is None


def test_added_rows_still_learn_after_loading(make_model: MakeModel, tmp_path: Path) -> None:
    loaded = checkpoint.load(tiny.save(make_model(form="plain"), tmp_path), dtype="float32").model
    loaded.set_learning([COMPRESSOR, GENERATOR])
    assert loaded.roles[COMPRESSOR].rows.requires_grad
    assert loaded.roles[GENERATOR].rows.requires_grad


def test_uneven_pools_stay_with_their_question(make_model: MakeModel) -> None:
    model = joint_model(make_model).eval()
    examples = tiny.question_examples(model)
    assert len({len(example.documents) for example in examples}) > 1
    objective, totals = joint(model), Totals.of(examples)
    together = loss_of(objective, examples)
    alone = sum(loss_of(objective, [example], totals) for example in examples)
    torch.testing.assert_close(together, alone)


def test_uneven_pools_whose_sum_could_be_dealt_out_evenly_keep_their_own_documents(make_model: MakeModel) -> None:
    model = joint_model(make_model).eval()
    examples = [
        replace(example, documents=(*"abcdefgh"[: 3 + 2 * n],))
        for n, example in enumerate(tiny.question_examples(model)[:2])
    ]
    assert [len(example.documents) for example in examples] == [3, 5]  # four each, were they dealt out
    pools = score_pools(model, Store(), examples)
    for number, example in enumerate(examples):
        (alone,) = score_pools(model, Store(), [example]).scores
        assert pools.valid[number].sum() == len(example.documents)
        torch.testing.assert_close(pools.memories[number][pools.valid[number]], Store().memories([*example.documents]))
        torch.testing.assert_close(pools.scores[number][pools.valid[number]], alone)


def test_joint_training_reaches_query_reasoner_and_generator_alone(make_model: MakeModel) -> None:
    model = joint_model(make_model)
    model.set_learning([QUERY_REASONER, GENERATOR])
    loss_of(joint(model), tiny.question_examples(model)).backward()
    assert touched(model, QUERY_REASONER)
    assert touched(model, GENERATOR)
    assert not touched(model, COMPRESSOR)


def test_logged_recall_is_that_of_the_evaluation(make_model: MakeModel) -> None:
    model = joint_model(make_model).eval()
    golds: list[list[int]] = [[0, 1, 3], [], [3, 0], [2]]  # of several, two at most can be among the best two
    questions = [row.model_copy(update={"pos_index": gold}) for row, gold in zip(tiny.questions(), golds, strict=True)]
    examples = list(joint_examples(questions, model.tokens, top_k=2, max_target_tokens=12))
    with torch.no_grad():
        logged = joint(model)(examples, Totals.of(examples), progress=0.0, seed=0).metrics["recall@2"]
        asked = [model.tokens.to_compress(question.question) for question in questions]
        queries = model.encode(QUERY_REASONER, asked).vectors
    expected = 0.0
    for query, question in zip(queries, questions, strict=True):
        stored = Store().memories(question.docs)
        scores = torch.cosine_similarity(query.flatten()[None], stored.flatten(1))
        ranking = scores.argsort(descending=True).tolist()
        if question.pos_index:  # a question without known gold documents says nothing about recall
            expected += recall_at(ranking, question.pos_index, 2) / 3
    assert float(logged) == pytest.approx(expected)


def test_a_prompt_with_many_documents_loses_nothing(make_model: MakeModel) -> None:
    tokens = make_model(num_memory=32).tokens
    prompt = tokens.answer_prompt("Where is the city?", 40)
    assert prompt.count(tokens.added.slot) == 40 * 32
    asked = tokens.text("Where is the city?")
    assert any(prompt[at : at + len(asked)] == asked for at in range(len(prompt)))


def test_a_list_of_pairs_is_shortened_by_whole_pairs(make_model: MakeModel) -> None:
    tokens = make_model().tokens
    rows = [Pair(id=str(n), document_id="d", document="D", kind="simple", question=f"{n}?", answer="a") for n in "123"]
    one, two, three = (
        tokens.target("\n".join(f"Question: {n}?\nAnswer: a" for n in "123"[:count]), max_tokens=1000)
        for count in (1, 2, 3)
    )
    options = {"kinds": ["simple"], "qa_target": "list"}
    for limit, expected in ((len(three), three), (len(three) - 1, two), (len(two) - 1, one)):
        found = list(pretraining_examples(rows, tokens, max_target_tokens=limit, **options))  # type: ignore[arg-type]
        assert [example.target for example in found] == [expected]


def test_micro_batches_add_up_to_the_loss_a_token(make_model: MakeModel) -> None:
    model = make_model().eval()
    examples = tiny.pair_examples(model)[:6]
    assert len({len(example.target) for example in examples}) > 1
    totals = Totals.of(examples)
    objective = CompressionObjective(model, mse_weight=0.1)
    whole = loss_of(objective, examples)
    for size in (1, 2, 4):
        parts = [examples[start : start + size] for start in range(0, len(examples), size)]
        torch.testing.assert_close(sum(loss_of(objective, part, totals) for part in parts), whole)


@pytest.mark.parametrize("stage", ["pretraining", "joint"])
def test_every_target_token_of_a_step_counts_the_same_whatever_its_target(make_model: MakeModel, stage: str) -> None:
    model = joint_model(make_model).eval()
    joined = stage == "joint"
    examples = tiny.question_examples(model) if joined else tiny.pair_examples(model)[:6]
    objective = joint(model) if joined else CompressionObjective(model, mse_weight=0.0)
    tokens = [len(example.target) for example in examples]
    assert len(set(tokens)) > 1
    means = [loss_of(objective, [example]).item() for example in examples]
    expected = sum(mean * count for mean, count in zip(means, tokens, strict=True)) / sum(tokens)
    assert expected != pytest.approx(sum(means) / len(means), rel=1e-5)
    assert loss_of(objective, examples).item() == pytest.approx(expected, rel=1e-6)


def test_an_epoch_leaves_no_example_out(make_model: MakeModel) -> None:
    examples = tiny.pair_examples(make_model())
    sampler = Sampler(examples, batch_size=4, seed=1)
    seen = [example.key for step in range(1, 10) for example in sampler.step(step)]
    assert len(examples) == 18  # no multiple of 4
    assert sorted(seen[:18]) == sorted(seen[18:36]) == sorted(example.key for example in examples)


def test_a_stopped_run_goes_on_to_the_same_weights(make_model: MakeModel, tmp_path: Path) -> None:
    plan = tiny.plan(steps=4, save_every=2)

    def run(state: Path) -> ClaraModel:
        model = make_model(dropout=0.2)
        examples = tiny.pair_examples(model)
        train(
            model,
            CompressionObjective(model, mse_weight=0.1),
            learns=[COMPRESSOR, GENERATOR],
            sampler=Sampler(examples[2:], batch_size=4, seed=1),
            validation=examples[:2],
            plan=plan,
            seed=1,
            state_folder=state,
            identity="run",
            label="test",
        )
        return model

    whole = run(tmp_path / "whole")
    half = tmp_path / "half"
    half.mkdir()
    (tmp_path / "whole" / "step-000002").rename(half / "step-000002")
    resumed = run(half)
    for name, tensor in checkpoint.state(whole).items():
        assert torch.equal(tensor, checkpoint.state(resumed)[name]), name


def test_alignment_is_computed_in_float32_and_summed_where_asked_for() -> None:
    document, memory = torch.full((1, 8), 5.0, dtype=torch.bfloat16), torch.full((1, 8), 0.01, dtype=torch.bfloat16)
    exact = (5.0 - float(memory[0, 0])) ** 2
    mean = alignment_losses(document, memory)
    assert mean.dtype == torch.float32
    assert float(mean) == pytest.approx(exact, rel=1e-6)
    assert float(alignment_losses(document, memory, reduction="sum")) == pytest.approx(8 * exact, rel=1e-6)


def test_a_batch_that_fails_is_not_scored_as_empty_answers() -> None:
    pool = Pool("nq", "oracle", tiny.questions())
    tasks = [Task(pool, question, None, None, []) for question in pool.questions]

    def answer(batch: object) -> list[str]:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        predictions("clara", tasks, answer, length=lambda task: 1, batch_size=2, done_file=None)


def test_the_paraphrase_prompt_is_always_the_same(make_model: MakeModel) -> None:
    prompts = {tuple(make_model().tokens.paraphrase_prompt(1)) for _ in range(5)}
    assert len(prompts) == 1


def test_no_probability_goes_to_added_tokens(backbones: Callable[[str], LoadedBackbone]) -> None:
    loaded = backbones("llama")
    hidden = torch.zeros(1, loaded.hidden_size)
    assert loaded.logits(hidden).shape == (1, loaded.vocab_size)
    assert float(loaded.logits(hidden).logsumexp(-1)) == pytest.approx(math.log(loaded.vocab_size), abs=1e-5)


def sources() -> dict[str, str]:
    """Path → text of all code of the package and its programs."""
    folders = ("clara", "workflow_scripts", "rules")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".smk")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def test_the_code_names_no_device_to_move_to_and_no_folder_of_one_machine() -> None:
    odd = re.compile(r"\.cuda\(|\.to\(\s*[\"']|device=[\"']cuda|[\"'](?:/mnt|/home|/root|/data|/scratch)/")
    found = {path: odd.search(text) for path, text in sources().items()}
    assert {path: match[0] for path, match in found.items() if match} == {}


def test_every_library_that_is_imported_is_required() -> None:
    wanted = set()
    for path, text in sources().items():
        for node in ast.walk(ast.parse(text)) if path.endswith(".py") else []:
            if isinstance(node, ast.Import):
                wanted |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                wanted.add(node.module.split(".")[0])
    wanted -= {*sys.stdlib_module_names, "clara", "workflow_scripts", "torch"}  # torch: requirements/install.py
    lines = (ROOT / "requirements" / "main.in").read_text(encoding="utf-8").splitlines()
    required = {re.split(r"[=<>\[ ]", line)[0].lower() for line in lines if line and not line.startswith("#")}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    required |= {name for extra in extras.values() for name in extra}
    known = packages_distributions()
    missing = {
        name for name in wanted if not {found.lower().replace("_", "-") for found in known.get(name, [name])} & required
    }
    assert missing <= WITH_OTHERS
