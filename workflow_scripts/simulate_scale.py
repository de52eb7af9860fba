"""Plans large stores: bytes, GPU hours, search latency, cost, as a Markdown table on the standard output.

    python workflow_scripts/simulate_scale.py --search results/bench/search.json --documents 2000000 21000000

The rates of search are those that `make bench` measured; what is supposed stands in clara/bench/scale.py.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from clara import program
from clara.files import read_json


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and prints."""
    flags = program.parser(__doc__)
    flags.add_argument("--search", type=Path, help="search.json of a benchmark run")
    flags.add_argument("--documents", type=int, nargs="+", default=[2_000_000, 21_000_000])
    given = flags.parse_args(argv)

    from clara.bench.scale import MISTRAL_7B, SMOLLM2_135M, Assumptions, page
    from clara.model.inverted import PROBED

    assumed = Assumptions()
    if given.search:
        content: Any = read_json(given.search)
        found, threads = content["search"][-1], content["set_up"]["torch_threads"]
        scan, lists = found["by_index"]["scan"], found["by_index"]["lists"]
        assumed = replace(
            assumed,
            index_bytes_per_second=scan["bytes"] / scan["seconds"] / threads,
            lists_bytes_per_second=PROBED * lists["bytes"] / lists["seconds"] / threads,
            exact_bytes_per_second=found["bytes_of_store"] / found["exact_seconds"] / threads,
        )
    for model in (MISTRAL_7B, SMOLLM2_135M):
        print(page(model, given.documents, assumed))


if __name__ == "__main__":
    program.run(main)
