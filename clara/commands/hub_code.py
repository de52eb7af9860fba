"""Loads a CLaRa checkpoint through transformers' `AutoModel`; needs the package of "CLaRa, reproducible"."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

import clara
from clara.commands.shared import trained_top_k
from clara.serving import Clara


class ClaraConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """What `config.json` says; the checkpoint's own card says the rest."""

    model_type = "clara"


class ClaraForHub(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The methods of the released model, over `clara.Clara`, which `served` is."""

    config_class = ClaraConfig

    def __init__(self, config: ClaraConfig, served: Clara, top_k: int) -> None:
        super().__init__(config)
        self.model = served.model
        self.served, self.generation_top_k = served, top_k

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> "ClaraForHub":
        """The model in a folder, or of a repository of the Hub; `dtype` is the language model's precision."""
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            named = {key: kwargs[key] for key in ("revision", "cache_dir", "token") if kwargs.get(key) is not None}
            folder = Path(snapshot_download(str(pretrained_model_name_or_path), **named))
        dtype = kwargs.get("dtype", kwargs.get("torch_dtype"))
        name = None if dtype in (None, "auto") else str(dtype).removeprefix("torch.")
        served = clara.load(folder / "checkpoint", dtype=name)
        config = kwargs.get("config") or ClaraConfig.from_pretrained(folder)
        return cls(config, served, trained_top_k(folder / "checkpoint"))

    def generate_from_questions(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]], max_new_tokens: int = 64
    ) -> tuple[list[str], list[list[int]]]:
        """Answers from the best documents of each question, and the indices of these, best first."""
        found = self.served.answer(
            questions, documents=documents, k=self.generation_top_k, max_new_tokens=max_new_tokens
        )
        read = [
            [list(given).index(text) for text in each.documents] for each, given in zip(found, documents, strict=True)
        ]
        return [each.text for each in found], read

    def generate_from_text(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]], max_new_tokens: int = 64
    ) -> list[str]:
        """Answers from all documents of each question, in their order."""
        return [each.text for each in self.served.read(questions, documents, max_new_tokens=max_new_tokens)]

    def generate_from_paraphrase(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]], max_new_tokens: int = 64
    ) -> list[str]:
        """Each first document rewritten from its vectors; the questions are not used, as in the released code."""
        return self.served.paraphrase([given[0] for given in documents], max_new_tokens=max_new_tokens)

    def compress_documents(self, documents: Sequence[str]) -> Tensor:
        """Memory vectors of documents."""
        return self.served.compress(documents)
