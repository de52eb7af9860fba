"""Collects every document that a candidate pool names.

    python workflow_scripts/collect_documents.py --candidates results/demo/candidates/*.jsonl \\
        --documents results/demo/corpus/documents.parquet

Makes the documents (id, title, text), each once, in the order of their ids: what compression stores.
"""

from clara import program
from clara.data.candidates import collect_documents
from clara.environment import record
from clara.row_files import write_rows


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and collects."""
    arguments = program.parser(__doc__)
    program.add_paths(arguments, "--documents", many=("--candidates",))
    args = arguments.parse_args(argv)
    write_rows(args.documents, collect_documents(args.candidates))
    record(args.documents, None, inputs=args.candidates)


if __name__ == "__main__":
    program.run(main)
