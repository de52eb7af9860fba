"""The files of a tiny run, and calls of the programs that need a model as a rule calls them."""

import json
from pathlib import Path
from typing import Any

from clara import config
from clara.config.rules import aside_for, settings_for
from clara.files import read_json
from clara.records import Prediction
from clara.row_files import read_rows, write_rows
from tests import tiny
from workflow_scripts import (
    compress_documents,
    measure_memory_use,
    predict,
    predict_baseline,
    prepare_backbone,
    pretrain,
    train_joint,
    tune_instructions,
)

ROOT = Path(__file__).parents[2]


FEW = {"optimization": {"steps": 2, "validate_every": 1, "save_every": 1}}


def tiny_config(**changes: Any) -> dict[str, Any]:
    values = config.merge(config.load(ROOT / "config.yaml"), config.load(ROOT / "configs/ci.yaml"))
    values = config.merge(values, {stage: FEW for stage in ("pretraining", "instruction", "joint")})
    values = config.merge(values, {"memory": {"document_max_tokens": 32}, "evaluation": {"memory_use_examples": 8}})
    return config.merge(values, changes)


def settings(rule: str, of: dict[str, str] | None = None, /, **changes: Any) -> str:
    """The `--settings` of the tiny run's job with the wildcards `of`, changes of the configuration merged in."""
    return json.dumps(settings_for(rule, tiny_config(**changes), **(of or {})))


def aside(rule: str) -> str:
    """Its `--aside`."""
    return json.dumps(aside_for(rule, tiny_config()))


class World:
    """The files of a tiny run, and calls of its programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backbone = folder / "backbone" / "card.json"
        self.pretraining = folder / "pretraining" / "card.json"
        self.instruction = folder / "instruction" / "card.json"
        self.joint = folder / "joint" / "card.json"
        self.manifest = folder / "compression" / "manifest.json"
        self.pairs, self.documents = folder / "pairs.parquet", folder / "documents.parquet"
        write_rows(self.pairs, tiny.pairs())
        write_rows(self.documents, tiny.passages())
        self.candidates = {}
        for split in ("train.oracle", "test.oracle", "test.normal"):
            self.candidates[split] = folder / f"nq.{split}.jsonl"
            write_rows(self.candidates[split], tiny.questions())

    def prepare(self) -> None:
        prepare_backbone.main(["--settings", settings("prepare_backbone"), "--card", str(self.backbone)])

    def pretrain(self, **changes: Any) -> None:
        pretrain.main(
            self.flags(
                settings("pretrain", **changes), aside=aside("pretrain"), ratio=8, pairs=self.pairs,
                backbone=self.backbone, state=self.folder / "state/pretrain", card=self.pretraining,
            )
        )  # fmt: skip

    def tune(self) -> None:
        tune_instructions.main(
            self.flags(
                settings("tune_instructions"), aside=aside("tune_instructions"), checkpoint=self.pretraining,
                candidates=self.candidates["train.oracle"], state=self.folder / "state/tune", card=self.instruction,
            )
        )  # fmt: skip

    def compress(self) -> None:
        compress_documents.main(
            self.flags(
                settings("compress_documents"), checkpoint=self.instruction, documents=self.documents,
                state=self.folder / "state/compress", manifest=self.manifest,
            )
        )  # fmt: skip

    def join(self, *, start: Path | None = None, state: Path | None = None, **changes: Any) -> None:
        train_joint.main(
            self.flags(
                settings("train_joint", **changes), aside=aside("train_joint"), checkpoint=start or self.instruction,
                store=self.manifest, candidates=self.candidates["train.oracle"],
                state=state or self.folder / "state/joint", card=self.joint,
            )
        )  # fmt: skip

    def measure(self, *, checkpoint: Path | None = None, confidence: float = 0.95) -> Any:
        card = checkpoint or self.joint
        out = self.joint.parent / "memory_use.json"
        given = settings("measure_memory_use", evaluation={"scoring": {"confidence": confidence}})
        measure_memory_use.main(
            self.flags(
                given, checkpoint=card, history=card.with_name("history.jsonl"),
                candidates=self.candidates["test.oracle"], memory_use=out, diagnostics=card.parent / "diagnostics.json",
            )
        )  # fmt: skip
        return read_json(out)

    def predict(
        self, *, candidates: Path | None = None, checkpoint: Path | None = None, batch_size: int = 8
    ) -> list[Prediction]:
        out = self.folder / "predictions" / "clara.jsonl"
        given = settings("predict", evaluation={"generation": {"batch_size": batch_size}})
        flags = self.flags(
            given, system="clara", checkpoint=checkpoint or self.joint, store=self.manifest,
            state=self.folder / "state/predict", predictions=out,
        )  # fmt: skip
        pools = [candidates] if candidates else [self.candidates["test.oracle"], self.candidates["test.normal"]]
        predict.main([*flags, "--candidates", *map(str, pools)])
        return read_rows(Prediction, out)

    def baseline(self, name: str, **more: object) -> list[Prediction]:
        out = self.folder / "predictions" / f"{name}.jsonl"
        predict_baseline.main(
            self.flags(
                settings("predict_baseline", {"baseline": name}), baseline=name, backbone=self.backbone,
                candidates=self.candidates["test.oracle"], predictions=out, **more,
            )
        )  # fmt: skip
        return read_rows(Prediction, out)

    @staticmethod
    def flags(given: str, **paths: object) -> list[str]:
        pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in paths.items()]
        return ["--settings", given, *(part for pair in pairs for part in pair)]
