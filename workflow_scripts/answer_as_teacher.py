"""Answers the training questions with the backbone from the documents' text, for students to learn from.

    python workflow_scripts/answer_as_teacher.py --settings "$SETTINGS" \\
        --backbone results/demo/backbone/card.json --candidates results/demo/candidates/*.train.oracle.jsonl \\
        --answers results/demo/teacher/answers.jsonl

Makes one answer a question, from the documents that instruction tuning shows with it. Used where
`instruction.answers` is teacher.
"""

from clara import program
from clara.config.rules import AnswerAsTeacher, parse_settings
from clara.environment import record
from clara.records import Question
from clara.row_files import read_rows, write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and answers."""
    flags = program.parser(__doc__)
    flags.add_argument("--settings", required=True)
    program.add_paths(flags, "--backbone", "--answers", many=("--candidates",))
    given = flags.parse_args(argv)
    settings = parse_settings(AnswerAsTeacher, given.settings)

    from clara.evaluation import predict
    from clara.evaluation.answering import Pool, Task
    from clara.model import backbone
    from clara.model.backbone_card import read_backbone_card
    from clara.training.question_examples import shown_documents

    loaded = backbone.load(read_backbone_card(given.backbone), **settings.backbone.loading())
    tasks = []
    for path in given.candidates:
        pool = Pool(path.name.partition(".")[0], "oracle", read_rows(Question, path))
        for question in pool.questions:
            shown = shown_documents(question, top_k=settings.top_k, seed=settings.seed)
            tasks.append(Task(pool, question, None, None, shown))
    generation = settings.generation.model_copy(update={"max_new_tokens": settings.max_target_tokens - 1})
    write_rows(given.answers, predict.with_backbone("teacher", loaded, tasks, generation=generation))
    record(given.answers, settings, inputs=[given.backbone, *given.candidates])


if __name__ == "__main__":
    program.run(main)
