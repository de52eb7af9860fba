"""A folder as a finished run leaves it, with documents of one's own beside the results."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clara.environment import write_provenance
from clara.model import checkpoint
from clara.model.clara import ClaraModel
from clara.row_files import write_rows
from tests import tiny

TEXTS = ["Ice floats.", "Water flows downhill.", "Albedo is the share of light that a surface reflects."]


@pytest.fixture
def workplace(make_model: Callable[..., ClaraModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: `results/demo` with a checkpoint, its store, questions; `my-documents`; some JSON lines."""
    model = make_model(document_max_tokens=128)
    model.add_query_reasoner("compressor")
    tiny.stir(model, seed=4)
    folder = tmp_path / "results" / "demo" / "joint" / "instruction-cr4-base"
    write_provenance(folder, {"backbone": {"dtype": "float32"}, "joint": {"top_k": 2}}, seed=5, inputs=[])
    tiny.save(model, folder, stage="joint")
    stores = tmp_path / "results" / "demo" / "compression"
    tiny.store(checkpoint.load(folder / "card.json", dtype="float32"), stores).parent.rename(
        stores / "instruction-cr4-base"
    )
    own = tmp_path / "my-documents"
    own.mkdir()
    (own / "notes.txt").write_text("Albedo is a share. It is of light.")
    (own / "guide.md").write_text("# Guide\nFirst.\n## Next\nSecond.\n")
    for name, texts in {"documents": TEXTS, "old": TEXTS[:1], "more": ["And more."]}.items():
        lines = [json.dumps({"title": text.split()[0], "text": text}) + "\n" for text in texts]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    rows = [tiny.question(number, docs=range(6), gold=[number % 6]) for number in range(24)]
    write_rows(tmp_path / "results" / "demo" / "candidates" / "nq.test.oracle.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path
