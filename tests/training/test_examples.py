from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from clara.errors import DataError
from clara.model.clara import ClaraModel
from clara.records import Pair
from clara.tokens import AddedIds, Encoder
from clara.training.examples import (
    Lost,
    _list_target,
    held_out,
    pretraining_examples,
    tokenized,
)
from tests import tiny


def written(model: ClaraModel, ids: Sequence[int]) -> str:
    assert ids[-1] == model.backbone.end_of_turn
    return str(model.backbone.tokenizer.decode(list(ids[:-1])))


def test_answer_targets_put_the_question_into_the_prompt(model: ClaraModel) -> None:
    found = tiny.pair_examples(model, kinds=["simple"], max_target_tokens=64)
    assert len(found) == 12
    assert written(model, found[0].target) == "Aro is a city in the north."
    assert found[0].prompt == model.tokens.answer_prompt("Where is Aro?", 1)
    assert found[0].documents == (tiny.TEXTS[0],)


def test_list_targets_hold_the_questions_and_are_shortened_by_whole_pairs(model: ClaraModel) -> None:
    found = tiny.pair_examples(model, kinds=["simple"], qa_target="list", max_target_tokens=400)
    assert len(found) == 6
    first = "Question: Where is Aro?\nAnswer: Aro is a city in the north."
    whole = f"{first}\nQuestion: Who left Aro?\nAnswer: Aro"
    assert written(model, found[0].target) == whole
    assert found[0].prompt == model.tokens.pairs_prompt(1)
    exact = len(model.tokens.text(whole)) + 1
    for limit, text in ((exact, whole), (exact - 1, first)):
        short = tiny.pair_examples(model, kinds=["simple"], qa_target="list", max_target_tokens=limit)
        assert written(model, short[0].target) == text


def with_merges(pre_tokenizer: Any, texts: Sequence[str], normalizer: Any = None) -> Encoder:
    """An encoder by BPE of 600 merges, learned from `texts` as `pre_tokenizer` cuts them; None leaves them whole."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    if pre_tokenizer is not None:
        made.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        made.normalizer = normalizer
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>", "<|end|>"]))
    wrapped: Any = PreTrainedTokenizerFast
    tokenizer = wrapped(tokenizer_object=made, eos_token="<|end|>", unk_token="<unk>")
    return Encoder(tokenizer, end_of_turn=1, added=AddedIds(len(tokenizer), 2), document_max_tokens=16)


TRICKY = [
    [("Who?", "Ida."), ("Where?\n", "\nAro"), ("When?", "1887."), ("Why?", "..."), ("How?", "By ship. ")],
    [("Who?", "Ida." * 30), ("", "\n"), ("Question:", "Answer:"), ("a", "b")],
    [("Say <|end|>", "<|end|>"), ("end|>", "<|"), ("<|end|>?", "\nQuestion: no\nAnswer: no")],
    [("één", "ø\u2028🙂"), ("🙂🙂", "日本"), (" ", " ")],
    [("Who is in Aro?", "Ida")] * 9,
]
"""Questions and answers of five lists, at whose ends tokens merge, or whose text looks like what stands between."""


def plain_target(lines: Sequence[str], tokens: Encoder, max_tokens: int) -> tuple[list[int], Lost]:
    """The same by trying every number of pairs in turn."""
    text, left = lines[0], len(lines) - 1
    for line in lines[1:]:
        if len(tokens.text(f"{text}\n{line}")) >= max_tokens:
            break
        text, left = f"{text}\n{line}", left - 1
    target = tokens.target(text, max_tokens=max_tokens)
    return target, Lost(0, int(target[:-1] != tokens.text("\n".join(lines))), left)


@pytest.mark.parametrize("cut", ["bytes", "words and line breaks", "not at all"])
def test_a_list_has_the_tokens_of_its_text_however_they_merge_between_pairs(cut: str) -> None:
    lists = [[f"Question: {asked}\nAnswer: {answer}" for asked, answer in rows] for rows in TRICKY]
    texts = ["\n".join(lines) for lines in lists] * 3
    words = pre_tokenizers.Split(Regex(r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\p{L}+|\s+|."), "isolated")
    found = {
        "bytes": pre_tokenizers.ByteLevel(add_prefix_space=False),
        "words and line breaks": pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)]),
        "not at all": None,
    }[cut]
    tokens = with_merges(found, texts)
    merged = 0
    for lines in lists:
        parts = [len(tokens.text(line)) for line in lines]
        whole = tokens.text("\n".join(lines))
        merged += len(whole) != sum(parts) + (len(lines) - 1) * len(tokens.text("\n"))
        for limit in range(8, len(whole) + 4):
            target, lost = _list_target(lines, tokens, limit)
            assert (target, lost) == plain_target(lines, tokens, limit), (lines, limit)
    assert cut == "bytes" or merged  # or the test would say little


def test_the_text_of_a_list_is_tokenized_a_few_times_whatever_the_number_of_its_pairs(model: ClaraModel) -> None:
    lines = [f"Question: Who is number {number}?\nAnswer: Ida" for number in range(60)]
    fitting = len(model.tokens.text("\n".join(lines))) + 1
    for limit in (fitting, fitting // 2, 20):
        with patch.object(model.tokens, "text", wraps=model.tokens.text) as text:
            _list_target(lines, model.tokens, limit)
        seen = sum(len(call.args[0]) for call in text.call_args_list)
        assert seen <= 4 * len("\n".join(lines))


def test_a_first_pair_that_is_too_long_loses_its_tail_not_its_end(model: ClaraModel) -> None:
    found = tiny.pair_examples(model, kinds=["simple"], qa_target="list", max_target_tokens=8)
    assert len(found[0].target) == 8
    assert "Question: Where is Aro?".startswith(written(model, found[0].target))


def test_a_target_that_lost_its_end_is_told(model: ClaraModel) -> None:
    pairs = tiny.pair_examples(model, kinds=["simple"], max_target_tokens=len(model.tokens.text("Aro")) + 1)
    assert [item.lost.target for item in pairs[:2]] == [1, 0]  # Aro is a city in the north., Aro


def test_texts_beyond_the_limit_are_counted_among_those_that_are_read(model: ClaraModel) -> None:
    made = tiny.question_examples(model)
    limit = sorted(len(model.tokens.text(text)) for text in made[2].documents)[1]
    object.__setattr__(model.tokens, "document_max_tokens", limit)
    lost = {
        read: [item.lost.texts for item in tokenized(made, model.tokens, read=read)]  # type: ignore[arg-type]
        for read in ("documents", "question", "prompt")
    }
    assert lost["documents"] == [
        sum(model.tokens.to_compress(text).cut > 0 for text in item.documents) for item in made
    ]
    assert lost["documents"][2] > 0
    assert lost["question"] == [int(model.tokens.to_compress(item.question).cut > 0) for item in made]
    assert lost["prompt"] == [0, 0, 0, 0]


def test_paraphrases_and_questions_come_together(model: ClaraModel) -> None:
    found = tiny.pair_examples(model)
    assert len(found) == 18
    assert sum(item.prompt == model.tokens.paraphrase_prompt(1) for item in found) == 6


@pytest.mark.parametrize("kinds", [["complex"], ["simple", "complex"]])
def test_a_kind_of_which_there_is_no_row_is_refused(kinds: list[str], model: ClaraModel) -> None:
    pairs: list[Pair] = tiny.pairs()
    with pytest.raises(
        DataError, match=r"kinds names complex, but no .* that kind \(found: paraphrase \d+, simple \d+\)"
    ):
        list(pretraining_examples(pairs, model.tokens, kinds=kinds, qa_target="list", max_target_tokens=9))
    with pytest.raises(DataError, match="found: none at all"):
        list(pretraining_examples([], model.tokens, kinds=kinds, qa_target="list", max_target_tokens=9))


def test_no_group_is_both_learned_and_held_out() -> None:
    groups = [group for group in "abcdefghij" for _ in range(3)]
    training, validation = held_out(groups, count=6, seed=1)
    assert len(validation) == 6
    assert not {groups[index] for index in training} & {groups[index] for index in validation}
    assert len(training) == 24
    assert held_out(groups, count=6, seed=1) == (training, validation)
    assert held_out(groups, count=6, seed=2) != (training, validation)


def test_at_most_a_fifth_is_held_out_and_at_least_one() -> None:
    assert len(held_out([str(number) for number in range(20)], count=99, seed=0)[1]) == 4
    assert len(held_out(["a", "b"], count=99, seed=0)[1]) == 1


def test_one_group_is_too_few() -> None:
    with pytest.raises(DataError, match="at least two documents or questions, found 1"):
        held_out(["x", "x"], count=1, seed=0)
