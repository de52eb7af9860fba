"""A model that comes as a GGUF file is the model that was written into it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter

from clara.model import backbone, backbone_folder
from clara.model.adapters import COMPRESSOR, GENERATOR
from clara.model.backbone import LoadedBackbone
from clara.model.export import export
from clara.training.objectives import CompressionObjective, Totals
from tests import tiny

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
NORMAL, CONTROL = 1, 3


def write_gguf(loaded: LoadedBackbone, path: Path) -> Path:
    """A Llama model and its tokenizer as a GGUF file in float32."""
    model, config, tokenizer = loaded.model, loaded.model.config, loaded.tokenizer
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, tokenizer)
    table = model.get_input_embeddings().weight
    writer.add_tensor("token_embd.weight", table.numpy())
    if model.get_output_embeddings().weight is not table:
        writer.add_tensor("output.weight", model.get_output_embeddings().weight.numpy())
    writer.add_tensor("output_norm.weight", model.model.norm.weight.numpy())
    for number, layer in enumerate(model.model.layers):
        for ours, theirs in NAMES.items():
            weight = layer.get_submodule(ours).weight.numpy()
            if theirs in ("attn_q", "attn_k"):  # llama.cpp keeps the halves of a head's rotation side by side
                heads = config.num_attention_heads
                halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1)
                weight = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))
            writer.add_tensor(f"blk.{number}.{theirs}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, tokenizer: Any) -> None:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token in tokenizer.all_special_tokens else NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in content["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(
        tokenizer.bos_token_id
    )  # wrong on purpose, as in published files: the template knows better
    writer.add_chat_template(tokenizer.chat_template)


@pytest.fixture(scope="module")
def converted(backbones: Callable[[str], LoadedBackbone], tmp_path_factory: pytest.TempPathFactory) -> LoadedBackbone:
    folder = tmp_path_factory.mktemp("gguf")
    file = write_gguf(backbones("llama"), folder / "tiny.gguf")
    card = backbone_folder.prepare(str(file), folder / "card.json", seed=0, revision=None, trust_remote_code=False)
    return backbone.load(card, dtype="float32")


def test_a_gguf_model_says_what_the_model_in_it_says(
    converted: LoadedBackbone, backbones: Callable[[str], LoadedBackbone]
) -> None:
    source = tiny.fresh(backbones("llama"))
    for parameter in source.model.parameters():
        parameter.data = parameter.data.half().float()  # what the conversion keeps
    ids = torch.tensor([[5, 9, 30, 200, 7]])
    with torch.no_grad():
        torch.testing.assert_close(converted.model(ids).logits, source.model(ids).logits, atol=1e-5, rtol=1e-5)
    for text in tiny.TEXTS:
        assert converted.tokenizer.encode(text) == source.tokenizer.encode(text)
    assert converted.end_of_turn == source.end_of_turn


def test_a_gguf_backbone_learns_and_is_exported(converted: LoadedBackbone, tmp_path: Path) -> None:
    model = tiny.model(converted)
    parameters = model.set_learning([COMPRESSOR, GENERATOR])
    examples = tiny.pair_examples(model)[:2]
    loss = CompressionObjective(model, mse_weight=0.1)(examples, Totals.of(examples), progress=0.0, seed=0).loss
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in parameters)
    export(tiny.save(model, tmp_path / "checkpoint"), GENERATOR, tmp_path / "plain")
    assert (tmp_path / "plain" / "model.safetensors").exists()
