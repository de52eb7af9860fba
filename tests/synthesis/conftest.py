"""A tiny model and a few passages for the tests of synthesis."""

import os
from pathlib import Path

import pytest

from clara.files import text_id
from clara.records import Passage

os.environ.setdefault("OMP_NUM_THREADS", "1")

WORDS = (
    "the a of in and is was to Answer Correct Incorrect Yes No Judgment What When Where who river town bridge "
    "built founded Oslo Norway 1204 1902 green glass yellow system user assistant"
).split()


def passage(title: str, text: str) -> Passage:
    """A passage with the id that goes with its text."""
    return Passage(id=text_id(f"{title}\n{text}"), title=title, text=text)


@pytest.fixture
def town() -> Passage:
    return passage(
        "Aldermoor",
        "Aldermoor is a small town on the river Brisk. "
        "It was founded in 1204 by Ida Thorne, who built the first bridge. "
        "The town is known for its green glass, which traders carried down to the coast. "
        "The market square was paved in 1902 after a long dispute. About 3,200 people live there today.",
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights, heads of 32 dimensions, and a word tokenizer with a chat template."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.decoders import WordPiece
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = [chr(code) for code in range(33, 127)]
    pieces = ["<unk>", "<end>", *letters, *("##" + letter for letter in letters), *WORDS]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.decoder = WordPiece()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="<end>", pad_token="<end>")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} <end> {% endfor %}"
        "{% if add_generation_prompt %}assistant {% endif %}"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=512,
        eos_token_id=1,
        pad_token_id=1,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    # Larger weights than the default make the next token depend on the whole prompt.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    folder = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
