"""The programs from a dump to ranked pools, one after the other, on a dump made here."""

import bz2
import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from clara.errors import ConfigError, DataError
from clara.records import Passage, Prediction, Question
from clara.row_files import read_rows

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
TOPICS = ["moon", "sun", "mars", "venus", "earth", "pluto"]


def call(name, **flags):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    argv = []
    for flag, value in flags.items():
        values = value if isinstance(value, list) else [value]
        argv += [f"--{flag.replace('_', '-')}", *(json.dumps(v) if isinstance(v, dict) else str(v) for v in values)]
    module.main(argv)


def article(topic):
    parts = [f"The {topic} is called thing {number} by all who look at it each and every night." for number in range(4)]
    return (
        f"<page><title>{topic.title()}</title><ns>0</ns><revision><text>'''{topic}''' is [[round]] as seen "
        f"from far away. {' '.join(parts)}</text></revision></page>"
    )


@pytest.fixture
def world(tmp_path):
    """A folder with a source, a backbone that is only a tokenizer, and questions."""
    pages = "".join(map(article, TOPICS))
    (tmp_path / "source.bz2").write_bytes(bz2.compress(f"<mediawiki>{pages}</mediawiki>".encode()))
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    (tmp_path / "model").mkdir()
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    (tmp_path / "backbone.json").write_text('{"path": "model"}')
    rows = [
        {
            "id": f"q{topic}",
            "question": f"What is the {topic} called?",
            "golden_answers": ["thing 1"],
            "type": "single",
            "support": [{"title": topic.title(), "contains": "called thing 1"}],
        }
        for topic in TOPICS
    ]
    (tmp_path / "nq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def settings(world):
    source = {"location": str(world / "source.bz2"), "sha256": None, "format": "mediawiki"}
    benchmark = {"format": "supports", "train": None, "test": str(world / "nq.jsonl"), "test_normal": None}
    bm25 = {"bm25_k1": 0.9, "bm25_b": 0.4}
    return {
        "fetch_corpus": {"source": source},
        "split_passages": {
            "source": source,
            "passages": {"words": 20, "per_article": None, "max_articles": None},
            "document_max_tokens": 64,
        },
        "prepare_questions": {"benchmark": {**benchmark, "num_train": None, "num_test": 4}},
        "make_candidates": {"seed": 1, "size": 5, "train_size": 3, **bm25},
    }


def run_all(world, out):
    given = settings(world)
    pools = [out / f"nq.{name}.jsonl" for name in ("train.oracle", "test.oracle", "test.normal")]
    parts = {"train": out / "train", "test": out / "test", "test_normal": out / "test_normal"}
    corpus = {"passages": out / "passages.parquet", "report": out / "report.json"}
    call("fetch_corpus", settings=given["fetch_corpus"], dump=out / "dump", card=out / "card.json")
    call(
        "split_passages",
        settings=given["split_passages"],
        dump=out / "dump",
        backbone=world / "backbone.json",
        **corpus,
    )
    call(
        "prepare_questions",
        settings=given["prepare_questions"],
        benchmark="nq",
        passages=out / "passages.parquet",
        report=out / "nq.report.json",
        **parts,
    )
    call(
        "make_candidates",
        settings=given["make_candidates"],
        passages=out / "passages.parquet",
        **parts,
        out_train_oracle=pools[0],
        out_test_oracle=pools[1],
        out_test_normal=pools[2],
    )
    call("collect_documents", candidates=pools, documents=out / "documents.parquet")
    call("rank_bm25", candidates=pools[1:], predictions=out / "bm25.jsonl")


def test_the_programs_lead_from_a_dump_to_ranked_pools(world, tmp_path):
    out = tmp_path / "out"
    run_all(world, out)
    passages = {passage.document for passage in read_rows(Passage, out / "passages.parquet")}
    test = read_rows(Question, out / "nq.test.oracle.jsonl")
    assert len(test) == 4
    train = read_rows(Question, out / "nq.train.oracle.jsonl")
    assert [len(question.docs) for question in train] == [3, 3]
    assert all(len(question.docs) == 5 and set(question.docs) <= passages for question in test)
    assert all("called thing 1" in question.docs[question.pos_index[0]] for question in test)
    documents = {passage.document for passage in read_rows(Passage, out / "documents.parquet")}
    assert {document for question in test for document in question.docs} <= documents <= passages
    found = read_rows(Prediction, out / "bm25.jsonl")
    assert [(row.setting, row.id) for row in found[:4]] == [("oracle", question.id) for question in test]
    assert {row.setting for row in found} == {"oracle", "normal"}
    assert json.loads((out / "report.json").read_text())["articles"]["kept"] == len(TOPICS)
    assert json.loads((out / "nq.report.json").read_text())["test"]["questions"] == 4
    assert (out / "test_normal").read_bytes() == b""


def test_a_second_run_gives_the_same_bytes_and_leaves_inputs_alone(world, tmp_path):
    inputs = {path: path.read_bytes() for path in world.iterdir() if path.is_file()}
    run_all(world, tmp_path / "a")
    run_all(world, tmp_path / "b")
    run_all(world, tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir() if path.is_file())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir() if path.is_file())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert {path: path.read_bytes() for path in inputs} == inputs


def test_each_program_records_what_its_result_was_made_with_and_of(world, tmp_path):
    run_all(world, tmp_path)
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "provenance").iterdir()}
    assert found.keys() == {"dump", "passages", "test", "nq.test.normal", "documents", "bm25"}
    assert found["passages"]["settings"]["document_max_tokens"] == 64
    dump = tmp_path / "dump"
    assert found["passages"]["inputs"][str(dump)] == hashlib.sha256(dump.read_bytes()).hexdigest()
    assert found["nq.test.normal"]["settings"]["bm25_k1"] == 0.9


def test_a_damaged_dump_leaves_no_passages(world, tmp_path):
    (tmp_path / "dump").write_bytes((world / "source.bz2").read_bytes()[:-30])
    with pytest.raises(DataError, match="dump is damaged or cut short"):
        call(
            "split_passages",
            settings=settings(world)["split_passages"],
            dump=tmp_path / "dump",
            backbone=world / "backbone.json",
            passages=tmp_path / "out" / "passages.parquet",
            report=tmp_path / "out" / "report.json",
        )
    assert not list((tmp_path / "out").glob("*"))


def test_settings_that_do_not_fit_are_refused(world, tmp_path):
    given = {"size": 5, "train_size": None, "bm25_k1": 0.9, "bm25_b": 0.4, "top_k": 5}
    outputs = {f"out_{name}": tmp_path / name for name in ("train_oracle", "test_oracle", "test_normal")}
    inputs = dict.fromkeys(("passages", "train", "test", "test_normal"), tmp_path / "x")
    with pytest.raises(ConfigError, match="seed: field required; top_k: extra inputs"):
        call("make_candidates", settings=given, **inputs, **outputs)


def test_ready_normal_questions_are_used_as_they_are(world, tmp_path):
    out = tmp_path / "out"
    run_all(world, out)
    ready = out / "nq.test.oracle.jsonl"
    call(
        "make_candidates",
        settings={**settings(world)["make_candidates"], "seed": 2},
        passages=out / "passages.parquet",
        train=out / "train",
        test=out / "test",
        test_normal=ready,
        out_train_oracle=out / "1.jsonl",
        out_test_oracle=out / "2.jsonl",
        out_test_normal=out / "3.jsonl",
    )
    assert (out / "3.jsonl").read_bytes() == ready.read_bytes()
