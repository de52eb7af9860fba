"""Measures how fast the engines of synthesis answer the same requests.

    python workflow_scripts/bench_synthesis.py --passages results/demo/corpus/passages.parquet \\
        --backbone results/demo/backbone/card.json --dtype float32 --num-passages 16 \\
        --speeds results/bench/synthesis.json

Makes the file of speeds and prints a table: a plain loop over transformers' generate, the engine transformers one by
one and together, vLLM where it runs.
"""

from clara import program
from clara.environment import describe
from clara.files import read_json, write_json
from clara.records import Passage
from clara.row_files import read_rows
from clara.synthesis import bench


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and measures."""
    flags = program.parser(__doc__)
    flags.add_argument("--dtype", default="float32")
    flags.add_argument("--num-passages", type=int, default=16)
    program.add_paths(flags, "--passages", "--backbone", "--speeds")
    given = flags.parse_args(argv)
    folder = given.backbone.parent / str(read_json(given.backbone)["path"])
    asked = bench.passages_asked(read_rows(Passage, given.passages), given.num_passages)
    speeds = bench.measure(folder, asked, dtype=given.dtype)
    write_json(
        given.speeds,
        {"dtype": given.dtype, "speeds": [speed._asdict() for speed in speeds]} | {"environment": describe()},
    )
    print(bench.table(speeds), end="")


if __name__ == "__main__":
    program.run(main)
