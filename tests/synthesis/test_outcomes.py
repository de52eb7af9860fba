"""Counts of outcomes as they come equal those of all outcomes together."""

import random

from clara.records import Passage
from clara.synthesis.outcomes import Outcomes
from clara.synthesis.rows import KINDS, Outcome


def test_counts_are_those_of_all_outcomes_together() -> None:
    choice = random.Random(2)
    made = []
    for number in range(60):
        passage = Passage(id=f"{number:016x}", title=f"Town{number}", text="x")
        for kind in KINDS[: choice.randrange(1, 4)]:
            one = Outcome(passage, kind, f"prompts of {kind}", failure=choice.choice([None, None, "overflow"]))
            for row in range(choice.choice([0, 0, 2])):
                one.accept(f"Who {row}?", "Ida", round=1, source="model")
            for row in range(choice.choice([0, 1])):
                one.reject(f"Why {row}?", "Ida", "refusal", round=1, source="model")
            made.append(one)
    counts = Outcomes()
    for one in made:
        counts.add(one)
    assert counts.passages == 60
    assert counts.with_a_pair == len({one.passage.id for one in made if one.accepted}) > 9
    assert counts.failed == len({one.passage.id for one in made if one.failure}) > 9
    assert counts.accepted == sum(len(one.accepted) for one in made)
    assert counts.rejected == sum(len(one.rejected) for one in made)
    assert counts.prompts == {kind: f"prompts of {kind}" for kind in KINDS}
    assert list(counts.quarantine) == [
        f"{one.passage.id} {one.passage.title} ({one.kind})" for one in made if one.failure
    ]
