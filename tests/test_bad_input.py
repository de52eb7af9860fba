"""Several hundred damaged inputs, made by rule from sound ones: each ends in an error of ours or is taken, never else.

Two ways of damage: a value of a type that its place cannot hold, or text that no JSON reader may let through, must be
refused; bytes that are cut, changed or added may still be sound. Examples are the same on every run.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clara import config
from clara.data.formats import PARSERS
from clara.data.question_files import read_question_rows
from clara.errors import ClaraError
from clara.files import sha256_file, write_json
from clara.records import Passage, Question
from clara.row_files import read_rows, write_rows

if TYPE_CHECKING:
    from clara.model.clara import ClaraModel

pytestmark = [
    pytest.mark.timeout(120),
    # torch warns of storage formats that damaged files seem to have
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

ROWS: dict[str, dict[str, Any]] = {
    "rows": {"id": "1", "question": "Who?", "golden_answers": ["A"], "docs": ["x", "y"], "pos_index": [1]},
    "nq": {
        "question": "Who?",
        "answers": ["A"],
        "positive_ctxs": [{"title": "T", "text": "a"}],
        "hard_negative_ctxs": [{"title": "U", "text": "b"}],
    },
    "hotpotqa": {
        "_id": "1",
        "question": "Who?",
        "answer": "A",
        "supporting_facts": [["T", 0]],
        "context": [["T", ["One.", "Two."]], ["U", ["Three."]]],
    },
    "musique": {
        "id": "2hop__1",
        "question": "Who?",
        "answer": "A",
        "answer_aliases": ["B"],
        "paragraphs": [{"title": "T", "paragraph_text": "a", "is_supporting": True}],
    },
}
WRONG: dict[type, list[Any]] = {
    str: [{"odd": 1}, [["x"]], [5], True],
    list: [{"odd": 1}, 5, True],
    dict: [5, "x", [1]],
    bool: ["perhaps", 7, [1], {"odd": 1}],
    int: ["x", 2.5, [1], {"odd": 1}],
    float: ["x", [1], {"odd": 1}],
    type(None): [{"odd": 1}, [[1]]],
}
"""Values that no place which holds a value of this type can take."""
NO_JSON = ["NaN", "-Infinity", "1e999", "7" * 5000, r'"\ud800"', "[" * 20_000, ",", "'x'", '"\t"', "01"]
"""Texts that make any JSON around them unusable."""
HOLE = "a hole 4f1c"


def examples(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=quiet)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values within `value`, itself included."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Callable[[Any], Any]) -> Any:
    """A copy of `value` in which the value at `path` is what `new` makes of it."""
    if not path:
        return new(value)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@st.composite
def mistyped(draw: st.DrawFn, value: Any) -> Any:
    path = draw(st.sampled_from(list(places(value))))
    return replaced(value, path, lambda old: draw(st.sampled_from(WRONG[type(old)])))


@st.composite
def unreadable(draw: st.DrawFn, value: Any) -> str:
    path = draw(st.sampled_from(list(places(value))))
    return json.dumps(replaced(value, path, lambda old: HOLE)).replace(f'"{HOLE}"', draw(st.sampled_from(NO_JSON)), 1)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    chance = random.Random(draw(st.integers(0, 2**32)))
    way = draw(st.sampled_from(["cut", "changed", "added", "zeros"]))
    start = chance.randrange(len(content))
    if way == "cut":
        return content[:start]
    if way == "added":
        return content[:start] + chance.randbytes(chance.randint(1, 40)) + content[start:]
    end = min(len(content), start + chance.choice([1, 1, 4, 64]))
    filler = bytes(end - start) if way == "zeros" else bytes(b ^ chance.randint(1, 255) for b in content[start:end])
    return content[:start] + filler + content[end:]


def refused(read: Callable[[], Any]) -> None:
    """Fails unless `read` ends in one sentence of ours."""
    with pytest.raises(ClaraError) as raised:
        read()
    assert len(str(raised.value)) < 3000
    assert "\n" not in str(raised.value)


def questions(path: Path, kind: str) -> list[Question | None]:
    return [PARSERS[kind](row) for row in read_question_rows(path)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@pytest.mark.parametrize("kind", ROWS)
@examples(40)
@given(data=st.data())
def test_question_rows_of_other_types_are_refused(kind: str, folder: Path, data: st.DataObject) -> None:
    path = folder / "questions.jsonl"
    path.write_text(json.dumps(data.draw(mistyped(ROWS[kind]))))
    refused(lambda: questions(path, kind))


@pytest.mark.parametrize("kind", ROWS)
@examples(20)
@given(data=st.data())
def test_question_files_that_are_no_json_are_refused(kind: str, folder: Path, data: st.DataObject) -> None:
    path = folder / "questions.json"
    text = data.draw(unreadable(ROWS[kind]))
    path.write_text(data.draw(st.sampled_from([f"[{text}]", f"{json.dumps(ROWS[kind])}\n{text}x\n"])))
    refused(lambda: questions(path, kind))


@examples(60)
@given(data=st.data())
def test_question_files_with_damaged_bytes_are_refused_or_read(folder: Path, data: st.DataObject) -> None:
    path = folder / "damaged.jsonl"
    path.write_bytes(data.draw(damaged(json.dumps(ROWS["hotpotqa"], ensure_ascii=False).encode() * 3)))
    with suppress(ClaraError):
        questions(path, "hotpotqa")


@examples(60)
@given(data=st.data())
def test_settings_of_other_types_are_refused(data: st.DataObject) -> None:
    values = data.draw(mistyped(sound_settings()))
    refused(lambda: config.validate(values if isinstance(values, dict) else {"config": values}))


@examples(80)
@given(data=st.data())
def test_configuration_files_with_damaged_bytes_are_refused_or_read(folder: Path, data: st.DataObject) -> None:
    path = folder / "config.yaml"
    path.write_bytes(data.draw(damaged(yaml.safe_dump(sound_settings()).encode())))
    with suppress(ClaraError):
        config.validate(config.load(path))


@pytest.mark.parametrize(
    "text",
    [
        "run: 2026-13-45", "seed: !!int x", "seed: !!float x", "? [a]\n: 1", "? {a: 1}\n: 2", "run: !!python/name:os.x",
        "[" * 5000, "a: &a [*a]", "a: !!binary '*'", "a: *b", "\0", "a: !!timestamp x", "seed: 0x", "1: 2", "null: 3",
        "- {" * 3000, 'run: "\\ud800"', "seed: " + "7" * 5000, "a: &a {<<: *a}", "a: !!set [x]", "a: !!bool x",
    ],
)  # fmt: skip
def test_odd_yaml_is_refused(text: str, folder: Path) -> None:
    path = folder / "odd.yaml"
    path.write_text(text)
    refused(lambda: config.validate({**sound_settings(), **config.load(path)}))


@examples(80)
@given(data=st.data())
def test_passages_with_damaged_bytes_are_refused_or_as_they_were(folder: Path, data: st.DataObject) -> None:
    rows = [Passage(id=str(number), title="T", text=f"text {number}") for number in range(50)]
    sound = folder / "sound.parquet"
    if not sound.exists():
        write_rows(sound, rows)
    path = folder / "passages.parquet"
    path.write_bytes(data.draw(damaged(sound.read_bytes())))
    with suppress(ClaraError):
        assert read_rows(Passage, path) == rows


@pytest.fixture
def made(model: "ClaraModel", folder: Path) -> Path:
    """A checkpoint in `checkpoint/`, its store in `store/`, both copied from the first that was made."""
    from clara.model import checkpoint
    from tests import tiny

    if not (folder / "made").exists():
        loaded = checkpoint.load(tiny.save(model, folder / "made" / "checkpoint"), dtype="float32")
        tiny.store(loaded, folder / "made")
    shutil.copytree(folder / "made", folder / "copy", dirs_exist_ok=True)
    return folder / "copy"


@examples(50)
@given(data=st.data())
def test_checkpoint_cards_of_other_types_are_refused(made: Path, data: st.DataObject) -> None:
    from clara.model import checkpoint

    card = made / "checkpoint" / "card.json"
    sound = json.loads((made.parent / "made" / "checkpoint" / "card.json").read_text())
    write_json(card, data.draw(mistyped(sound)))
    refused(lambda: checkpoint.read_card(card))
    card.write_text(data.draw(unreadable(sound)))
    refused(lambda: checkpoint.read_card(card))


@examples(12)
@given(number=st.sampled_from(["num_memory", "document_max_tokens", "rank", "alpha"]), data=st.data())
def test_checkpoint_cards_of_other_sizes_are_refused_before_memory_is_taken(
    number: str, made: Path, data: st.DataObject
) -> None:
    from clara.model import checkpoint

    card = made / "checkpoint" / "card.json"
    sound = json.loads((made.parent / "made" / "checkpoint" / "card.json").read_text())
    large = data.draw(st.sampled_from([0, -1, 5, 10**12, 10**30])) if number in ("num_memory", "rank") else 0
    write_json(card, {**sound, "shape": {**sound["shape"], number: large}})
    refused(lambda: checkpoint.load(card, dtype="float32"))


@examples(40)
@given(data=st.data())
def test_weights_with_damaged_bytes_are_refused(made: Path, data: st.DataObject) -> None:
    from clara.model import checkpoint

    weights = made / "checkpoint" / checkpoint.WEIGHTS
    sound = (made.parent / "made" / "checkpoint" / checkpoint.WEIGHTS).read_bytes()
    weights.write_bytes(data.draw(damaged(sound).filter(lambda content: content != sound)))
    refused(lambda: checkpoint.read_card(weights.with_name("card.json")))


@examples(50)
@given(data=st.data())
def test_store_manifests_of_other_types_are_refused(made: Path, data: st.DataObject) -> None:
    from clara.model.store import MemoryStore

    manifest = made / "store" / "manifest.json"
    sound = json.loads((made.parent / "made" / "store" / "manifest.json").read_text())
    write_json(manifest, data.draw(mistyped(sound)))
    refused(lambda: MemoryStore(manifest))
    write_json(manifest, {**sound, data.draw(st.sampled_from(["num_documents", "num_memory", "dim"])): 3})
    refused(lambda: MemoryStore(manifest).rows(range(6)))


@examples(60)
@given(name=st.sampled_from(["memories-00000.safetensors", "documents.parquet"]), data=st.data())
def test_store_files_with_damaged_bytes_are_refused_or_found_by_verifying(
    name: str, made: Path, data: st.DataObject
) -> None:
    from clara.model.store import MemoryStore

    shutil.copytree(made.parent / "made" / "store", made / "store", dirs_exist_ok=True)
    file = made / "store" / name
    before = sha256_file(file)
    file.write_bytes(data.draw(damaged(file.read_bytes())))
    with suppress(ClaraError):
        store = MemoryStore(made / "store" / "manifest.json")
        store.rows(range(6))
        assert store.verify() == ([name] if sha256_file(file) != before else [])


@pytest.fixture(scope="module")
def released(folder: Path) -> Path:
    from tests.model.released_writer import write

    return write(folder / "official").source


@examples(40)
@given(data=st.data())
def test_released_configurations_of_other_types_are_refused(released: Path, folder: Path, data: st.DataObject) -> None:
    from clara.model.released_files import CONFIG, read_released

    used = ("training_stage", "doc_max_length", "compr_rate", "lora_r", "decoder_model_name", "sep")
    sound = {key: value for key, value in json.loads((released / CONFIG).read_text()).items() if key in used}
    copy = shutil.copytree(released, folder / "released", dirs_exist_ok=True)
    write_json(copy / CONFIG, data.draw(mistyped(sound)))
    refused(lambda: read_released(copy))
    (copy / CONFIG).write_text(data.draw(unreadable(sound)))
    refused(lambda: read_released(copy))


@examples(60)
@given(name=st.sampled_from(["adapters.pth", "decoder_first_last_layers.pth"]), data=st.data())
def test_released_tensors_with_damaged_bytes_are_refused_or_read(
    name: str, released: Path, folder: Path, data: st.DataObject
) -> None:
    from clara.model.released_files import read_released

    copy = shutil.copytree(released, folder / "released", dirs_exist_ok=True)
    (copy / name).write_bytes(data.draw(damaged((released / name).read_bytes())))
    with suppress(ClaraError):
        read_released(copy)


@examples(60)
@given(data=st.data())
def test_records_beside_results_of_other_types_are_refused_or_read(folder: Path, data: st.DataObject) -> None:
    from clara.provenance import chain, described, require_as_made

    result = folder / "result.json"
    result.write_text("{}")
    sound = {"command": ["score.py", str(result)], "inputs": {"a": "1" * 64}, "outputs": {"result.json": "2" * 64}}
    write_json(folder / "provenance" / "result.json", data.draw(mistyped({**sound, "seed": 1, "commit": "c"})))
    with suppress(ClaraError):
        require_as_made(result, "2" * 64)
    with suppress(ClaraError):
        described(chain(result))


def sound_settings() -> dict[str, Any]:
    values = config.load(Path(__file__).parents[1] / "config.yaml")
    values["memory"]["idf_power"] = 4.0  # written without its fraction there, but one is taken as well
    return values
