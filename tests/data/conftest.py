import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from clara.data.tokenization import TokenCounter


@pytest.fixture(scope="session")
def word_tokenizer():
    """A tokenizer for which each word and each run of signs is a token."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture
def counter(word_tokenizer):
    return TokenCounter(word_tokenizer)


@pytest.fixture
def backbone_card(tmp_path, word_tokenizer):
    """The card of a backbone that is only a tokenizer."""
    folder = tmp_path / "backbone" / "model"
    folder.mkdir(parents=True)
    word_tokenizer.save(str(folder / "tokenizer.json"))
    card = folder.parent / "card.json"
    card.write_text('{"path": "model"}')
    return card
