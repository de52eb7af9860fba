"""Two-layer models with random weights and a tokenizer trained on the spot: tests and `configs/ci.yaml`."""

from pathlib import Path
from typing import Any

from clara.config.model import RANDOM_FAMILIES
from clara.errors import ConfigError

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|start|>' + message['role'] + '\n' + message['content'] + '<|end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)

SAMPLE = (
    "A document is compressed once into a few memory vectors. A question finds its documents in the same space, and "
    "the answer is written from the vectors alone. Where is the city? Who was the painter, when and why did she leave? "
    "It was founded in 1887 by 12 people; in 2003 there were 4,596 of them. Yes, no, north, south, first, second. "
)


def build(family: str, folder: Path, *, seed: int, hidden: int = 64, layers: int = 2, vocab: int = 1000) -> None:
    """Writes a random model of `family` and its tokenizer to `folder` in the transformers layout.

    Raises:
        ConfigError: the family is not one of `RANDOM_FAMILIES`.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    automatic: Any = AutoModelForCausalLM

    if family not in RANDOM_FAMILIES:
        raise ConfigError(f"backbone.source = random:{family}: the families are {', '.join(RANDOM_FAMILIES)}")
    tokenizer = train_tokenizer(vocab)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": hidden // 2,
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": family in ("llama", "gemma"),
    }
    config = AutoConfig.for_model(family, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = automatic.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer(vocab: int) -> Any:
    """A byte-level BPE tokenizer with a chat template, trained on a built-in sample."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<|pad|>", "<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([SAMPLE] * 4, trainer)
    fast: Any = PreTrainedTokenizerFast
    wrapped = fast(tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|end|>", pad_token="<|pad|>")
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped
