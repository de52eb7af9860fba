"""Writes checkpoints in the released format from random tiny models, and says what that code would compute."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from clara.model import random_backbone

THEIRS = ("encoder_adapter", "decoder_adapter", "query_reasoner_adapter")
OTHERS = ("<AE>", "<ENC>", "<SEP>")


@dataclass
class World:
    """A released checkpoint on disk, and its parts in memory."""

    base: Path
    source: Path
    model: Any
    """With the extended vocabulary, without adapters."""
    tokenizer: Any
    """With the added tokens as strings."""
    adapters: dict[str, dict[str, Tensor]]
    num_memory: int

    def adapted(self, name: str) -> Any:
        """A copy of the model into which the adapter is folded."""
        model = copy.deepcopy(self.model)
        for key in [key for key in self.adapters[name] if key.endswith(".lora_A.weight")]:
            a, b = self.adapters[name][key], self.adapters[name][key.replace("lora_A", "lora_B")]
            model.get_submodule(key.removesuffix(".lora_A.weight")).weight.data += 2.0 * b @ a
        return model.eval()

    @torch.no_grad()
    def memories(self, name: str, text: str, *, padded_to: int) -> Tensor:
        """Memories of a text, padded on the left to a fixed length as the released code does."""
        tokens = self.tokenizer
        ids = tokens.encode(f"<ENC>{tokens.bos_token}{text}{tokens.eos_token}", add_special_tokens=False)
        padding = padded_to - len(ids)
        ids += tokens.convert_tokens_to_ids([f"<MEM{j}>" for j in range(self.num_memory)])
        mask = torch.tensor([[0] * padding + [1] * len(ids)])
        model = self.adapted(name)
        out = model(torch.tensor([[0] * padding + ids]), attention_mask=mask, output_hidden_states=True)
        return out.hidden_states[-1][0, -self.num_memory :]

    @torch.no_grad()
    def logits(self, prompt: str, memories: Tensor) -> Tensor:
        """Logits after a prompt whose literal memory tokens take `memories`, one `[memory, dim]` a document."""
        ids = self.tokenizer.encode(prompt, add_special_tokens=False)
        model = self.adapted("decoder_adapter")
        embedded = model.get_input_embeddings()(torch.tensor(ids))
        first = self.tokenizer.convert_tokens_to_ids("<MEM0>")
        places = [at for at, token in enumerate(ids) if first <= token < first + self.num_memory]
        embedded[places] = memories.flatten(0, 1)
        return model(inputs_embeds=embedded[None]).logits[0, -1]


def write(
    folder: Path, *, family: str = "mistral", stage: str = "stage2", length: int = 32, ratio: int = 8, **changes: Any
) -> World:
    """Writes base and checkpoint under `folder`; `changes` overrides entries of its `config.json`."""
    base, source = folder / "base", folder / "released"
    random_backbone.build(family, base, seed=1, hidden=32, vocab=400)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:  # Qwen's adds a token of its own when it is loaded
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model.save_pretrained(base)
    memory = [f"<MEM{j}>" for j in range(length // ratio)]
    tokenizer.add_special_tokens({"additional_special_tokens": [*memory, *OTHERS]})
    generator = torch.Generator().manual_seed(7)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for table in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:
        added = table.data[-len(memory) - 3 :]
        added.copy_(0.3 * torch.randn(added.shape, generator=generator))
    names = THEIRS if stage == "stage2" else THEIRS[:2]
    adapters = {name: _adapter(model, generator) for name in names}
    tables = {"model.embed_tokens.weight": model.get_input_embeddings().weight.data}
    if not model.config.tie_word_embeddings:
        tables["lm_head.weight"] = model.get_output_embeddings().weight.data
    source.mkdir(parents=True)
    torch.save({name: adapter | tables for name, adapter in adapters.items()}, source / "adapters.pth")
    torch.save(tables, source / "decoder_first_last_layers.pth")
    config = {
        "decoder_model_name": str(base), "training_stage": stage, "doc_max_length": length, "compr_rate": ratio,
        "lora_r": 4, "lora": True, "sep": True, "different_mem_tokens": True, "compr_model_name": None,
        "generation_top_k": 2,
    }  # fmt: skip
    (source / "config.json").write_text(json.dumps(config | changes))
    return World(base, source, model, tokenizer, adapters, len(memory))


def _adapter(model: Any, generator: torch.Generator) -> dict[str, Tensor]:
    adapter = {}
    for path, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and not path.endswith("lm_head"):
            wide, narrow = layer.in_features, layer.out_features
            adapter[f"{path}.lora_A.weight"] = 0.3 * torch.randn(4, wide, generator=generator)
            adapter[f"{path}.lora_B.weight"] = 0.3 * torch.randn(narrow, 4, generator=generator)
    return adapter
