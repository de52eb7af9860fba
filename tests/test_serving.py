import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import torch

import clara
from clara import serving
from clara.errors import CheckpointError, ConfigError, CutWarning, DataError
from clara.files import write_json
from clara.model import backbone, checkpoint
from clara.model.adapters import NO_ADAPTER
from clara.model.answers import UNKNOWN
from clara.model.clara import ClaraModel
from clara.model.generator import generate
from clara.model.store import MemoryStore
from tests import tiny


@pytest.fixture
def first(make_model: Callable[..., ClaraModel], tmp_path: Path) -> clara.Clara:
    tiny.save(make_model(document_max_tokens=128), tmp_path / "pretraining")
    return clara.load(tmp_path / "pretraining")


@pytest.fixture
def joint(make_model: Callable[..., ClaraModel], tmp_path: Path) -> clara.Clara:
    model = make_model(document_max_tokens=128)
    model.add_query_reasoner("compressor")
    tiny.stir(model, seed=4)
    tiny.save(model, tmp_path / "joint", stage="joint")
    return clara.load(tmp_path / "joint" / "card.json")


def store(served: clara.Clara, folder: Path) -> Path:
    return tiny.store(checkpoint.LoadedCheckpoint(served.model, served.card, served.compressor_hash), folder)


def test_a_checkpoint_says_what_it_serves(first: clara.Clara, joint: clara.Clara) -> None:
    assert first.serves == ["compress", "score", "select", "answer"]
    assert joint.serves == [*first.serves, "reason", "search"]
    assert repr(joint).startswith("<Clara joint, 4 memories a document; serves compress")


def test_scores_are_cosines_and_the_best_come_first(joint: clara.Clara) -> None:
    documents = joint.compress(tiny.TEXTS)
    scores = joint.score(documents[:2], documents)
    assert scores.shape == (2, 6)
    assert scores[0, 0] == pytest.approx(1, abs=1e-5)
    wanted = torch.cosine_similarity(documents[1].flatten(), documents[3].flatten(), dim=0)
    assert scores[1, 3] == pytest.approx(float(wanted), abs=1e-5)
    assert joint.select(scores, 1).tolist() == [[0], [1]]
    assert joint.select(torch.tensor([[0.1, 0.7, 0.7]]), 2).tolist() == [[1, 2]]


def test_answers_from_given_documents_read_the_best_k(joint: clara.Clara) -> None:
    answers = joint.answer(["Who left?", "Where?"], documents=[tiny.TEXTS, tiny.TEXTS[:1]], k=2, max_new_tokens=3)
    scores = joint.score(joint.reason(["Who left?"]), joint.compress(tiny.TEXTS))
    best = joint.select(scores, 2)[0].tolist()
    assert answers[0].documents == [tiny.TEXTS[index] for index in best]
    assert answers[0].scores == pytest.approx([float(scores[0, index]) for index in best], abs=1e-5)
    assert answers[1].documents == tiny.TEXTS[:1]


def test_a_store_is_searched_as_a_whole(joint: clara.Clara, tmp_path: Path) -> None:
    manifest = store(joint, tmp_path)
    given = joint.answer(["Who left?"], documents=[tiny.TEXTS], k=3, max_new_tokens=3)
    for place in (manifest, manifest.parent, str(manifest)):
        found = joint.answer(["Who left?"], store=place, k=3, max_new_tokens=3)
        assert found[0].text == given[0].text
        assert found[0].documents == given[0].documents
        assert found[0].scores == pytest.approx(given[0].scores, abs=1e-5)
        manifest.parent.rename(manifest.parent.with_name(f".{manifest.parent.name}.0123abcd.old"))  # as by a kill
        joint.search(["Who left?"], store=manifest.parent, k=3)


@pytest.mark.parametrize("name", ["first", "joint"])
def test_of_own_candidates_only_those_that_the_store_lacks_are_compressed(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: clara.Clara = request.getfixturevalue(name)
    manifest, unknown, questions = store(served, tmp_path), "Gor\nGor lies in the west.", ["Who left?", "Where?"]
    documents = [[tiny.TEXTS[4], unknown, tiny.TEXTS[1]], [unknown, tiny.TEXTS[2], f"{tiny.TEXTS[1]} "]]
    plain = served.find(questions, documents=documents, k=3)
    written = served.answer(questions, documents=documents, k=3, max_new_tokens=9)
    compressed, compress = list[str](), served.compress
    monkeypatch.setattr(served, "compress", lambda texts: (compressed.extend(texts), compress(texts))[1])
    found = served.find(questions, documents=documents, store=manifest, k=3)
    assert compressed == [unknown, documents[1][2]]
    assert [each.documents for each in found] == [each.documents for each in plain]
    for one, other in zip(found, plain, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
        assert torch.allclose(torch.stack(one.memories), torch.stack(other.memories), atol=1e-5)
    again = served.answer(questions, documents=documents, store=manifest, k=3, max_new_tokens=9)
    assert [each.text for each in again] == [each.text for each in written]
    compressed.clear()
    served.find(questions, documents=[tiny.TEXTS[:2], tiny.TEXTS[2:4]], store=str(manifest), k=3)
    assert compressed == []


def test_memories_of_the_store_and_of_the_compressor_are_read_in_one_precision(
    make_model: Callable[..., ClaraModel], tmp_path: Path
) -> None:
    tiny.save(make_model(document_max_tokens=128), tmp_path / "half")
    half = clara.load(tmp_path / "half", dtype="bfloat16")
    (found,) = half.find(["Who?"], documents=[["Gor\nNo.", *tiny.TEXTS[:2]]], store=store(half, tmp_path), k=3)
    assert len({vectors.dtype for vectors in found.memories}) == 1


def of_tokens(served: clara.Clara, tokens: int) -> str:
    """A text of so many tokens."""
    text = "Aro\n" + "river " * tokens
    while len(served.model.tokens.text(text)) > tokens:
        text = text[:-1]
    assert len(served.model.tokens.text(text)) == tokens
    return text


def test_texts_that_are_cut_are_told_once_a_call(joint: clara.Clara, tmp_path: Path) -> None:
    manifest, limit = store(joint, tmp_path), joint.model.tokens.document_max_tokens
    whole, long, longer = (of_tokens(joint, limit + more) for more in (0, 1, 40))
    joint.answer([whole], documents=[[whole]], max_new_tokens=1)  # warns of nothing
    documents = [[long, whole, tiny.TEXTS[0]], [longer, long]]
    calls: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: joint.compress([whole, long]), ["1 of 2 documents"]),
        (lambda: joint.answer(["Who?", "Where?"], documents=documents, max_new_tokens=1), ["2 of 4 documents"]),
        (lambda: joint.read(["Who?", "Where?"], documents, max_new_tokens=1), ["2 of 4 documents"]),
        (lambda: joint.search(["Who?", longer, long], store=manifest), ["2 of 3 questions"]),
        (
            lambda: joint.answer([long], documents=[[longer]], max_new_tokens=1),
            ["1 of 1 documents", "1 of 1 questions"],
        ),
    ]
    for call, said in calls:
        with pytest.warns(CutWarning) as told:
            call()
        assert [str(each.message).split(":")[0] for each in told] == [
            f"{words} longer than {limit} tokens" for words in said
        ]


def test_a_search_finds_what_an_answer_reads(joint: clara.Clara, tmp_path: Path) -> None:
    manifest = store(joint, tmp_path)
    (answer,) = joint.answer(["Who left?"], store=manifest, k=3, max_new_tokens=3)
    (hits,) = joint.search(["Who left?"], store=manifest, k=3)
    assert [hit.document for hit in hits] == answer.documents
    assert [hit.score for hit in hits] == answer.scores
    assert min(answer.seconds) > 0


def test_the_texts_of_all_questions_are_read_together(
    joint: clara.Clara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, questions = MemoryStore(store(joint, tmp_path)), ["Who left?", "Where?", "What is second?"]
    alone = [joint.search([question], store=opened, k=3)[0] for question in questions]
    read: list[int] = []
    passages = MemoryStore.passages
    monkeypatch.setattr(MemoryStore, "passages", lambda self, rows: (read.append(len(rows)), passages(self, rows))[1])
    together = joint.search(questions, store=opened, k=3)
    assert [[hit.id for hit in hits] for hits in together] == [[hit.id for hit in hits] for hits in alone]
    chosen = joint.find(questions, store=opened, k=3)
    assert [each.documents for each in chosen] == [[hit.document for hit in hits] for hits in alone]
    assert read == [9, 9]


def test_a_store_named_by_its_path_stays_open_until_it_changes(
    joint: clara.Clara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = store(joint, tmp_path)
    opened: list[Path] = []
    whole = MemoryStore.__init__
    monkeypatch.setattr(MemoryStore, "__init__", lambda self, path: (opened.append(path), whole(self, path))[1])
    served = clara.Clara(joint.loaded)
    for place in (manifest, str(manifest), manifest.parent):
        served.search(["Who left?"], store=place, k=1)
    assert opened == [manifest]
    manifest.write_text(manifest.read_text() + "\n")
    served.search(["Who left?"], store=manifest, k=1)
    assert opened == [manifest, manifest]
    other = store(joint, tmp_path / "other")
    for place in (other, manifest):
        served.search(["Who left?"], store=place, k=1)
    assert opened == [manifest, manifest, other, manifest]


def test_a_streamed_answer_is_the_answer(joint: clara.Clara, tmp_path: Path) -> None:
    manifest = store(joint, tmp_path)
    questions = ["Who left?", "Where does the long river end?"]
    answers = [answer.text for answer in joint.answer(questions, store=manifest, k=2, max_new_tokens=9)]
    assert ["".join(joint.stream(q, store=manifest, k=2, max_new_tokens=9)) for q in questions] == answers
    shorter = joint.answer(questions[:1], store=manifest, k=2, max_new_tokens=3)[0].text
    texts = ["", ""]

    def give(row: int, text: str) -> None:
        texts[row] += text

    chosen = joint.find(questions, store=manifest, k=2)
    joint.write(questions, chosen, max_new_tokens=[3, 9], on_text=give)
    assert texts == [shorter, answers[1]]


def test_by_a_calibration_only_what_the_store_is_likely_to_know_is_answered(joint: clara.Clara, tmp_path: Path) -> None:
    manifest = store(joint, tmp_path)
    questions = ["Who left?", "Where does the long river end?", "What is second?"]
    plain = joint.answer(questions, store=manifest, k=2, max_new_tokens=9)
    write_json(tmp_path / "calibration.json", tiny.between(joint.compressor_hash, [each.scores[0] for each in plain]))
    careful = clara.load(tmp_path / "joint", calibration=tmp_path / "calibration.json")
    found = careful.answer(questions, store=manifest, k=2, max_new_tokens=9)
    known = [each.sure is not None and each.sure.enough for each in found]
    assert sorted(known) == [False, True, True]
    assert [each.text for each in found] == [
        each.text if enough else UNKNOWN for each, enough in zip(plain, known, strict=True)
    ]
    assert [each.documents for each in found] == [each.documents for each in plain]
    assert ["".join(careful.stream(q, store=manifest, k=2, max_new_tokens=9)) for q in questions] == [
        each.text for each in found
    ]
    unasked = careful.answer(["Who left?"], documents=[tiny.TEXTS], k=2, max_new_tokens=9)[0]
    assert (unasked.sure, unasked.text) == (None, plain[0].text)


def test_many_questions_are_written_in_batches_each_from_its_own_memories(
    joint: clara.Clara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joint.model.eval()
    for weight in joint.model.backbone.body.layers.parameters():
        weight.data *= 8  # an untrained model else repeats its last token, whatever came before
    manifest, budget, new_tokens, asked = store(joint, tmp_path), 200, 9, ["Who left?", "Where?", "What is second?"]
    questions = [f"{question} {'again ' * (number % 4)}" for number, question in enumerate(asked * 4)]
    documents = [[tiny.TEXTS[(number + more) % 6] for more in range(number % 3)] for number in range(len(questions))]

    def written(rows: list[int]) -> list[list[str]]:
        some = [questions[row] for row in rows]
        found = joint.answer(some, store=manifest, k=2, max_new_tokens=new_tokens)
        read = joint.read(some, [documents[row] for row in rows], max_new_tokens=new_tokens)
        again = joint.paraphrase([tiny.TEXTS[row % 6] for row in rows], max_new_tokens=new_tokens)
        return [[answer.text for answer in found], [answer.text for answer in read], again]

    known, slot = joint.compress(tiny.TEXTS), joint.model.added.slot
    sizes, given = list[tuple[int, int]](), list[tuple[list[int], list[int]]]()

    def counting(backbone: Any, generator: Any, prompts: Any, memories: Any, added: Any, **options: int) -> list[str]:
        sizes.append((len(prompts), max(map(len, prompts)) + options["max_new_tokens"]))
        counts = [prompt.count(slot) // known.shape[1] for prompt in prompts]
        parts = (known[:0] if memories is None else memories).split(counts)
        nearest = [[int((known - one).abs().sum((1, 2)).argmin()) for one in part] for part in parts]
        given.extend(zip(prompts, nearest, strict=True))
        return generate(backbone, generator, prompts, memories, added, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(serving, "generate", counting)
    together = written(list(range(12)))
    assert [count for count, _ in sizes] == [12, 12, 12]
    assert min(len(set(texts)) for texts in together[:2]) > 4
    pairs = sorted(given)
    given.clear()
    alone = [written([row]) for row in range(12)]
    assert together == [[one[kind][0] for one in alone] for kind in range(3)]
    assert pairs == sorted(given)
    sizes.clear()
    given.clear()
    monkeypatch.setattr(serving, "WRITE_TOKENS", budget)
    assert written(list(range(12))) == together
    assert pairs == sorted(given)
    assert len(sizes) > 6
    assert max(count * length for count, length in sizes) <= budget


def test_a_stream_that_cannot_be_is_refused_by_the_call_not_by_its_first_piece(
    first: clara.Clara, joint: clara.Clara, tmp_path: Path
) -> None:
    manifest = store(joint, tmp_path)
    for name in ("k", "max_new_tokens"):
        with pytest.raises(DataError, match=f"{name} = 0 must be a whole number of at least 1"):
            joint.stream("Who left?", store=manifest, **{name: 0})
    with pytest.raises(DataError, match="text 0 is empty"):
        joint.stream(" ", store=manifest)
    with pytest.raises(CheckpointError, match="has no query reasoner"):
        first.stream("Who left?", store=manifest)


def test_a_folded_copy_answers_the_same_and_is_used_by_every_way_to_write(
    joint: clara.Clara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, questions = store(joint, tmp_path), ["Who left?", "Where does the long river end?"]
    answers = [each.text for each in joint.answer(questions, store=manifest, k=2, max_new_tokens=20)]
    folded = clara.load(tmp_path / "joint", folded=True)
    for layer in (layer for _, layer in folded.model.adapters._layers):
        monkeypatch.setattr(layer, "scaling", layer.scaling | {"generator": 1e6})  # of no account for the copy
    assert [each.text for each in folded.answer(questions, store=manifest, k=2, max_new_tokens=20)] == answers
    texts = ["", ""]
    for row, question in enumerate(questions):
        for piece in folded.stream(question, store=manifest, k=2, max_new_tokens=20):
            texts[row] += piece
            assert folded.search(["Who?"], store=manifest, k=2) == joint.search(["Who?"], store=manifest, k=2)
    assert texts == answers


def test_leaving_a_stream_ends_its_writing(joint: clara.Clara, tmp_path: Path) -> None:
    pieces = joint.stream("Who left?", store=store(joint, tmp_path), k=2, max_new_tokens=400)
    next(pieces)
    running = threading.active_count()
    pieces.close()
    assert threading.active_count() == running - 1


def test_a_search_between_the_pieces_of_a_stream_changes_neither(joint: clara.Clara, tmp_path: Path) -> None:
    manifest, other = store(joint, tmp_path), "Where does the long river end?"
    (answer,) = joint.answer(["Who left?"], store=manifest, k=2, max_new_tokens=40)
    hits = joint.search([other], store=manifest, k=2)
    memories = joint.compress(tiny.TEXTS)
    text = ""
    for piece in joint.stream("Who left?", store=manifest, k=2, max_new_tokens=40):
        text += piece
        assert joint.model.adapters.active == NO_ADAPTER
        assert joint.search([other], store=manifest, k=2) == hits
        assert torch.equal(joint.compress(tiny.TEXTS), memories)
    assert text == answer.text


def test_calls_from_several_threads_answer_as_one_after_the_other(joint: clara.Clara, tmp_path: Path) -> None:
    manifest = store(joint, tmp_path)
    questions = ["Who left?", "Where is Aro?", "Where does the long river end?", "What is second?"]

    def asked(question: str) -> list[str]:
        (answer,) = joint.answer([question], store=manifest, k=2, max_new_tokens=30)
        streamed = "".join(joint.stream(question, store=manifest, k=2, max_new_tokens=30))
        return [answer.text, streamed, joint.search([question], store=manifest, k=1)[0][0].id]

    alone = [asked(question) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(asked, questions * 2)) == alone * 2
    assert joint.model.adapters.active == NO_ADAPTER


def test_two_streams_in_turn_are_the_answers_and_one_can_be_left_while_the_model_is_at_work(
    joint: clara.Clara, tmp_path: Path
) -> None:
    manifest, questions = store(joint, tmp_path), ["Who left?", "Where does the long river end?"]
    answers = [each.text for each in joint.answer(questions, store=manifest, k=2, max_new_tokens=30)]
    first, second = (joint.stream(question, store=manifest, k=2, max_new_tokens=30) for question in questions)
    texts = ["", ""]
    for one, other in zip_longest(first, second, fillvalue=""):
        texts = [texts[0] + one, texts[1] + other]
    assert texts == answers
    running = threading.active_count()
    left = joint.stream(questions[0], store=manifest, k=2, max_new_tokens=400)
    next(left)
    with joint.model.adapters.in_turn(NO_ADAPTER):  # as when garbage is collected within another call
        left.close()
    assert threading.active_count() == running


def test_without_a_reasoner_up_to_k_documents_are_read_as_given(first: clara.Clara) -> None:
    answer = first.answer(["Who left?"], documents=[tiny.TEXTS[2::-1]], k=3, max_new_tokens=2)[0]
    assert answer.documents == tiny.TEXTS[2::-1]
    assert answer.scores == []
    with pytest.raises(CheckpointError, match="the pretraining checkpoint has no query reasoner"):
        first.answer(["Who left?"], documents=[tiny.TEXTS], k=3)


def test_a_question_without_documents_is_answered(first: clara.Clara, joint: clara.Clara) -> None:
    for served in (first, joint):
        assert served.answer(["Who?"], documents=[[]], max_new_tokens=2)[0].documents == []


def test_a_store_of_another_compressor_is_refused(
    first: clara.Clara, joint: clara.Clara, make_model: Callable[..., ClaraModel], tmp_path: Path
) -> None:
    other = make_model(form="plain")
    tiny.save(other, tmp_path / "other")
    manifest = store(clara.load(tmp_path / "other"), tmp_path)
    with pytest.raises(CheckpointError, match="compress the documents with this model"):
        joint.answer(["Who?"], store=manifest)
    with pytest.raises(CheckpointError, match="compress the documents with this model"):
        joint.answer(["Who?"], documents=[tiny.TEXTS], store=manifest)


def test_wrong_calls_are_refused_in_one_sentence(joint: clara.Clara, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"answer needs documents= .*, store=, or both; pass one"):
        joint.answer(["Who?"])
    with pytest.raises(DataError, match="2 questions but candidates for 1"):
        joint.answer(["Who?", "Where?"], documents=[["x"]])
    with pytest.raises(DataError, match="compress takes a list of texts, got one string"):
        joint.compress("Aro")
    with pytest.raises(DataError, match="answer takes at least one text, got none"):
        joint.answer([], documents=[])
    for question, said in (
        (None, "text 0 is NoneType None"),
        (" \n", "text 0 is empty; give it words"),
        ("a\ud800", "text 0 holds half of a surrogate pair"),
    ):
        with pytest.raises(DataError, match=f"answer.* {said}"):
            joint.answer([question], documents=[["x"]])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"candidates of question 1 are one string; pass a list of texts for each"):
        joint.answer(["Who?", "Where?"], documents=[["x"], "y"])
    for name, value in (("k", 0), ("k", True), ("max_new_tokens", 0), ("max_new_tokens", -3)):
        with pytest.raises(DataError, match=f"{name} = {value} must be a whole number of at least 1"):
            joint.answer(["Who?"], documents=[["x"]], **{name: value})
    with pytest.raises(CheckpointError, match="nowhere does not exist; name the folder of a finished training"):
        clara.load(tmp_path / "nowhere")


def test_a_device_is_named_or_the_best_one(joint: clara.Clara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clara.load(tmp_path / "joint", device="cpu").model.backbone.device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [backbone._device(name) for name in (None, "cpu", "cuda", "cuda:1")] == ["cuda:0", "cpu", "cuda", "cuda:1"]
    for name in ("cuda:2", "tpu", "cpu:0"):
        with pytest.raises(ConfigError, match=f"device = {name} is not here; choose cpu, cuda, cuda:0, cuda:1"):
            clara.load(tmp_path / "joint", device=name)


@pytest.mark.parametrize(
    "settings",
    [
        "{}",
        "[1]",
        '{"backbone": 5}',
        '{"backbone": {"attention": "sdpa"}}',
        '{"backbone": {"dtype": "float32", "attention": 5}}',
    ],
)
def test_settings_without_a_precision_are_refused(settings: str, first: clara.Clara, tmp_path: Path) -> None:
    (tmp_path / "pretraining" / "settings.json").write_text(settings)
    with pytest.raises(CheckpointError, match=r"settings\.json must hold backbone\.dtype, such as float32, and may"):
        clara.load(tmp_path / "pretraining")


def test_settings_with_unknown_values_are_refused(first: clara.Clara, tmp_path: Path) -> None:
    (tmp_path / "pretraining" / "settings.json").write_text('{"backbone": {"dtype": "float32", "attention": "odd"}}')
    with pytest.raises(ConfigError, match=r"backbone\.attention = odd"):
        clara.load(tmp_path / "pretraining")
    with pytest.raises(ConfigError, match="dtype = int7 is no precision"):
        clara.load(tmp_path / "pretraining", dtype="int7")
