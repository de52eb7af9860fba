import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from clara.data.tokenization import TokenCounter
from clara.errors import CheckpointError


def test_counts_leave_out_special_tokens_truncation_and_padding():
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "<s>": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=8)
    assert TokenCounter(tokenizer).count(["a b c", "a", ""]) == [3, 1, 0]


def test_the_folder_in_the_card_counts_from_the_card_on(backbone_card):
    assert TokenCounter.of_backbone(backbone_card).count(["Title\none two."]) == [4]


def test_a_card_without_a_path_is_refused(tmp_path):
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(CheckpointError, match='must hold "path"'):
        TokenCounter.of_backbone(tmp_path / "card.json")


def test_a_folder_without_a_usable_tokenizer_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"tokenizer.json does not exist"):
        TokenCounter.of_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer.json is no tokenizer"):
        TokenCounter.of_folder(tmp_path)
