"""A checkpoint as a folder for the Hugging Face Hub: weights, card, and the code by which `AutoModel` loads it."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from clara.errors import CheckpointError
from clara.files import read_json, reading, write_json, write_text
from clara.folders import atomic_folder
from clara.model import checkpoint
from clara.model.adapters import QUERY_REASONER
from clara.model.backbone_card import BackboneCard
from clara.model.checkpoint import CheckpointCard

CODE = Path(__file__).with_name("hub_code.py")
MODULE = "modeling_clara"


def write_hub_folder(card: Path, target: Path, *, results: Path | None = None) -> None:
    """Writes all that is needed to answer elsewhere into a new folder.

    `checkpoint/` and `backbone/` are a checkpoint and its language model as the stages write them, so
    `clara.load(target / "checkpoint")` works as well as
    `AutoModel.from_pretrained(target, trust_remote_code=True)`; both need this package.

    Args:
        card: the checkpoint's `card.json`.
        target: a folder that is empty or not there yet.
        results: Markdown tables for the model card.

    Raises:
        CheckpointError: the checkpoint or its backbone is damaged, or `target` holds files.
        DataError, ResourceError: the tables cannot be read, or `target` cannot be written.
    """
    said = checkpoint.read_card(card)
    origin = checkpoint.read_backbone(card, said)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} is a file or is not empty; name a new folder")
    tables = None
    if results is not None:
        with reading(results):
            tables = results.read_text(encoding="utf-8")
    with atomic_folder(target) as folder:
        _write_backbone(origin, folder / "backbone")
        _write_checkpoint(card.parent, said, folder / "checkpoint")
        shutil.copyfile(CODE, folder / f"{MODULE}.py")
        classes = {"AutoConfig": f"{MODULE}.ClaraConfig", "AutoModel": f"{MODULE}.ClaraForHub"}
        write_json(folder / "config.json", {"model_type": "clara", "auto_map": classes, "stage": said.stage})
        write_text(folder / "README.md", model_card(said, read_json(origin.path), public_settings(card.parent), tables))


def _write_backbone(origin: BackboneCard, folder: Path) -> None:
    shutil.copytree(origin.folder, folder / "model", copy_function=_linked)
    content = {**read_json(origin.path), "path": "model", "source": _public(read_json(origin.path)["source"])}
    write_json(folder / "card.json", content)


def _write_checkpoint(source: Path, said: CheckpointCard, folder: Path) -> None:
    folder.mkdir()
    _linked(source / checkpoint.WEIGHTS, folder / checkpoint.WEIGHTS)
    write_json(folder / "card.json", asdict(replace(said, backbone="../backbone/card.json")))
    settings = public_settings(source)
    if settings:
        write_json(folder / "settings.json", settings)


def public_settings(source: Path) -> dict[str, Any]:
    """The settings that the stage was run with, without this machine's paths; empty for an imported checkpoint."""
    path = source / "settings.json"
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    if isinstance(found.get("backbone"), dict) and "source" in found["backbone"]:
        found["backbone"]["source"] = _public(found["backbone"]["source"])
    return found


def _public(source: str) -> str:
    """The name of a model; of a local path its last part, for folders of a machine are nobody else's affair."""
    return Path(source).name if Path(source).is_absolute() else source


def _linked(source: str | Path, target: str | Path) -> None:
    """A hard link where the disk allows, else a copy: language models are large and nothing here changes them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def model_card(said: CheckpointCard, backbone: dict[str, Any], settings: dict[str, Any], results: str | None) -> str:
    """The README of the folder, with the head that the Hub reads."""
    licence = backbone.get("license") or "other"
    name, shape = _public(str(backbone["source"])), said.shape
    serves = "questions with candidate documents" if QUERY_REASONER in said.roles else "questions with their documents"
    call = "generate_from_questions" if QUERY_REASONER in said.roles else "generate_from_text"
    learned = ", ".join(said.learned) or "none"
    trained = (
        json.dumps(settings, indent=2, sort_keys=True) if settings else "Not recorded: the checkpoint was imported."
    )
    return f"""---
license: {licence}
library_name: transformers
tags: [retrieval-augmented-generation, document-compression, clara]
---

# CLaRa on {name}, stage {said.stage}

Documents are compressed into {shape.num_memory} vectors for up to {shape.document_max_tokens} tokens each, in the form
`{shape.form}`; answers to {serves} are written from these vectors alone (CLaRa, arXiv 2511.18659, reproduced).

## Use

Needs the package of "CLaRa, reproducible", from whose run this checkpoint is.

```python
from transformers import AutoModel

model = AutoModel.from_pretrained("THIS FOLDER", trust_remote_code=True)
found = model.{call}(questions=["Who left?"], documents=[["Aro\\nNobody left.", "Bel\\nBo left."]], max_new_tokens=32)
```

`generate_from_questions` gives the answers and the indices of the documents that were read, `generate_from_text` the
answers from all documents given, `generate_from_paraphrase` the documents rewritten from their vectors. Documents
have the form `Title\\nText`. `clara.load("THIS FOLDER/checkpoint")` gives the whole interface, with stores and search.

## Training

Adapters of rank {shape.rank} on the frozen language model; in the last stage learned: {learned}.
The settings of that stage:

```json
{trained}
```

Weights: SHA-256 {said.weights_hash}; language model: {said.model_hash}.

## Results

{results or "None were given when this folder was written."}

## Limits

- An answer can be wrong, and wrong with confidence; the vectors keep only part of a document's text.
- What the language model carries in biases and gaps, this carries too. English text was trained on.
- The adapters fit this language model alone. Its licence ({licence}) holds for the folder.
"""
