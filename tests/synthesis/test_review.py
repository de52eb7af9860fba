"""The review: fair samples, leaks in the report, and a page that shows a model's text as text."""

import json
import random
from collections import Counter
from pathlib import Path

from clara.files import write_json
from clara.records import Pair
from clara.row_files import read_rows
from clara.synthesis import tables
from clara.synthesis.leaks import Leaks
from clara.synthesis.report import Tally
from clara.synthesis.review import review, samples
from clara.synthesis.rows import Rejected, pair_row

DOCUMENT = "Aldermoor\nIt was founded in 1204 by Ida Thorne, who built the <b>first</b> bridge."


def test_every_item_is_as_likely_and_the_order_is_kept() -> None:
    drawn: Counter[int] = Counter()
    for seed in range(2000):
        (found,) = samples(range(10), random.Random(seed), (3, lambda item: True))
        assert found == sorted(found)
        assert len(set(found)) == 3
        drawn.update(found)
    assert all(520 < number < 680 for number in drawn.values())  # 600 expected, four standard deviations are 82


def test_samples_of_one_stream_have_their_own_tests_and_sizes() -> None:
    few, even = samples(range(10), random.Random(1), (99, lambda item: item < 2), (3, lambda item: item % 2 == 0))
    assert few == [0, 1]
    assert len(even) == 3
    assert all(item % 2 == 0 for item in even)


def made(folder: Path, accepted: list[Pair], rejected: list[Rejected], questions: list[str]) -> tuple[dict, str]:
    tables.write(Pair, folder / "pairs.parquet", accepted)
    tables.write(Rejected, folder / "rejected.parquet", rejected)
    tally = Tally()
    for pair in accepted:
        tally.accept(pair)
    write_json(folder / "report.json", {"accepted": len(accepted), "rejected": len(rejected)} | tally.content())
    review(
        pairs=folder / "pairs.parquet", rejected=folder / "rejected.parquet", report=folder / "report.json",
        leaks=Leaks(questions), seed=1, summary=folder / "review.json", page=folder / "samples.html",
    )  # fmt: skip
    return json.loads((folder / "review.json").read_text()), (folder / "samples.html").read_text()


def test_the_page_shows_what_a_model_wrote_as_text(tmp_path: Path) -> None:
    attack = "</p><script>alert(1)</script>&amp;"
    accepted = [
        Pair(**pair_row(DOCUMENT, "simple", "Who founded Aldermoor?", "Ida Thorne")),
        Pair(**pair_row(attack, "paraphrase", "", attack)),
    ]
    rejected = [Rejected(**pair_row(DOCUMENT, "complex", attack, attack), reason="not_grounded", source="model")]
    report, page = made(tmp_path, accepted, rejected, ["Who founded Oslo?"])
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;") == 4
    assert "the &lt;b&gt;first&lt;/b&gt; bridge" in page
    assert "rejected as not grounded" in page
    assert 'href="review.json"' in page
    assert report["quality"] | {"with_another_answer": None} == {
        "pairs": 1, "right": 1, "low": 0.207, "high": 1.0, "faults": {}, "with_another_answer": None,
    }  # fmt: skip
    assert report["leaks"] == {"test_questions": 1, "rows_by_question": 0, "rows_by_passage": 0, "first": []}


def test_leaks_are_reported_and_the_rows_stay(tmp_path: Path) -> None:
    pair = Pair(**pair_row(DOCUMENT, "simple", "Who founded Aldermoor?", "Ida Thorne"))
    report, _ = made(tmp_path, [pair], [], ["who founded Aldermoor"])
    assert report["leaks"]["rows_by_question"] == 1
    assert report["leaks"]["first"] == [f"{pair.id}: who founded Aldermoor"]
    assert read_rows(Pair, tmp_path / "pairs.parquet") == [pair]


def test_lengths_are_shown_as_they_are_spread(tmp_path: Path) -> None:
    answers = ["a"] * 18 + ["a b", " ".join("abcdefghi")]
    rows = [Pair(**pair_row(DOCUMENT, "simple", "Who is it?", answer)) for answer in answers]
    report, page = made(tmp_path, [*rows, Pair(**pair_row(DOCUMENT, "paraphrase", "", "a b c d"))], [], ["Who?"])
    assert report["words"]["simple"]["answer"] == {"mean": 1.45, "min": 1, "p5": 1, "p50": 1, "p95": 2, "max": 9}
    cells = "".join(f"<td>{value}</td>" for value in (1.45, 1, 1, 1, 2, 9))
    assert f"<th>simple, answer</th>{cells}" in page
    assert "<th>paraphrase</th><td>4.0</td>" in page
    assert "paraphrase, question" not in page


def test_nothing_made_makes_an_empty_page(tmp_path: Path) -> None:
    report, page = made(tmp_path, [], [], ["Who?"])
    assert report["quality"]["pairs"] == 0
    assert page.count("<p>None.</p>") == 2
