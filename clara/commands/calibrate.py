"""The command `clara calibrate`: from which score on a question is answered."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clara.commands.shared import Json, Model, Store, System, open_system, print_result
from clara.errors import DataError
from clara.files import write_json

if TYPE_CHECKING:
    from clara.records import Question


def calibrate(
    questions: Annotated[list[Path], typer.Argument(help="JSON lines with question, golden_answers, docs, pos_index")],
    output: Annotated[
        Path, typer.Option(help="File that takes the calibration, for ask, chat and serve --calibration")
    ],
    model: Model = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Fit how sure a score must be for an answer, and measure it on held-out questions, answerable and not."""
    from clara.evaluation.answerable import calibrate as fit
    from clara.records import Question
    from clara.row_files import read_rows

    if not output.name or output.is_dir():
        raise DataError(f"{output} is a folder; name a file that takes the calibration")
    system = open_system(model, store, None)
    rows = [row for path in questions for row in read_rows(Question, path) if row.pos_index]
    whole, without = _scores(system, rows)
    found = fit([row.question for row in rows], whole, without, compressor=system.model.compressor_hash)
    write_json(output, found.model_dump())
    sentence = (
        f"{output}: AUROC {found.auroc:.3f}; of {found.held_out} held-out questions {found.answered:.0%} answered "
        f"where the store can, {found.refused:.0%} refused where it cannot; Brier {found.brier:.3f}"
    )
    print_result(sentence, found.model_dump(), as_json=as_json)


def _scores(system: System, rows: "Sequence[Question]") -> tuple[list[list[float]], list[list[float]]]:
    """Best scores of each question, with the whole store and without its gold documents, all of which it must hold."""
    from clara.evaluation.answerable import NEXT

    whole, without = [], []
    for row in rows:
        gold = {row.docs[index] for index in row.pos_index}
        if None in system.store.numbers(sorted(gold)):
            raise DataError(f"the store {system.store.folder} lacks gold documents of {row.question!r}; compress them")
        hits = system.model.search([row.question], store=system.store, k=NEXT + 1 + len(gold))[0]
        whole.append([hit.score for hit in hits][: NEXT + 1])
        without.append([hit.score for hit in hits if hit.document not in gold][: NEXT + 1])
    return whole, without
