"""`clara chat`, typed to."""

from pathlib import Path

from typer.testing import CliRunner

import clara
from clara.cli import app


def test_questions_are_answered_in_turn_until_the_end(workplace: Path) -> None:
    typed = "Who left?\n/sources\n/k 1\nWhere is Aro?\n/sources\n/what\n\n/quit\nnever read\n"
    done = CliRunner().invoke(app, ["chat"], input=typed)
    assert done.exit_code == 0, done.output
    model = clara.load(workplace / "results" / "demo" / "joint" / "instruction-cr4-base")
    store = workplace / "results" / "demo" / "compression" / "instruction-cr4-base"
    (first,) = model.answer(["Who left?"], store=store, k=2, max_new_tokens=128)
    (second,) = model.answer(["Where is Aro?"], store=store, k=1, max_new_tokens=128)
    sources = [
        [
            f"  [{number}] {score:.3f}  {' · '.join(text.splitlines())[:100]}"
            for number, (score, text) in enumerate(zip(each.scores, each.documents, strict=True), 1)
        ]
        for each in (first, second)
    ]
    assert done.stdout == "\n".join([first.text, *sources[0], second.text, *sources[1], ""])
    assert done.stderr.count("each question stands for itself") == 2


def test_the_end_of_the_input_ends_the_chat(workplace: Path) -> None:
    assert CliRunner().invoke(app, ["chat"], input="").exit_code == 0


def test_more_passages_than_an_answer_is_written_from_are_refused_and_the_chat_goes_on(workplace: Path) -> None:
    typed = f"/k 51\n/k 0\n/k {'9' * 5000}\n/k 1\nWho left?\n/sources\n"
    done = CliRunner().invoke(app, ["chat"], input=typed)
    assert done.exit_code == 0, done.output
    assert (
        "error: k = 51 documents are more than the 50 that one answer is written from; take a smaller k" in done.stderr
    )
    assert "error: k = 0 must be a whole number of at least 1" in done.stderr
    assert done.stdout.count("[") == 1
    for command in (["ask", "Who left?"], ["chat"], ["serve"]):
        refused = CliRunner().invoke(app, [*command, "--k", "100000"])
        assert refused.exit_code == 2, command
        assert refused.stderr.startswith("error: k = 100000 documents are more than the 50"), refused.stderr
    found = CliRunner().invoke(app, ["search", "Who left?", "--k", "100000"])
    assert found.exit_code == 0, found.output
    assert len(found.stdout.splitlines()) == 6


def test_questions_that_are_cut_are_told_in_one_sentence_each_time(workplace: Path) -> None:
    long = f"Where does the {'long ' * 200}river end?"
    done = CliRunner().invoke(app, ["chat"], input=f"{long}\nWho left?\n{long}\n")
    assert done.exit_code == 0, done.output
    told = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert told == ["warning: 1 of 1 questions longer than 128 tokens: what goes beyond was not read; shorten them"] * 2


def test_the_device_is_named_by_the_flag_or_the_variable(workplace: Path) -> None:
    for command in (["ask", "Who?"], ["search", "Who?"], ["chat"], ["compress", "my-documents", "--store", "new"]):
        refused = CliRunner().invoke(app, [*command, "--device", "tpu"], env={"CLARA_DEVICE": "cpu"})
        assert (refused.exit_code, refused.stderr.startswith("error: device = tpu is not here; choose cpu")) == (
            2,
            True,
        )
    refused = CliRunner().invoke(app, ["ask", "Who?"], env={"CLARA_DEVICE": "vpu"})
    assert "device = vpu is not here" in refused.stderr
