"""Asks a running `clara serve` from many clients at once, and prints how long they waited.

    python workflow_scripts/load_server.py --url http://127.0.0.1:8000 \\
        --questions results/demo/candidates/nq.test.oracle.jsonl --clients 1 8 32 --requests 64

With --seconds each number of clients asks for so long, with --bad-every 5 every fifth request is one that must be
refused; the memory of the server is printed before and after. The key is taken from CLARA_API_KEY. Makes no file.
"""

import asyncio
import os

from clara import program


def main(argv: list[str] | None = None) -> None:
    """Parses the flags and asks."""
    flags = program.parser(__doc__)
    flags.add_argument("--url", default="http://127.0.0.1:8000", help="address of the server")
    program.add_paths(flags, many=("--questions",))
    flags.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32], help="clients at once")
    flags.add_argument("--requests", type=int, default=64, help="requests of each number of clients")
    flags.add_argument("--seconds", type=float, help="time of each, instead of a number of requests")
    flags.add_argument("--bad-every", type=int, help="every so-manieth request is bad")
    flags.add_argument("--max-tokens", type=int, default=16, help="tokens of an answer at most")
    given = flags.parse_args(argv)

    from clara.records import Question
    from clara.row_files import read_rows
    from clara.server import load

    key = os.environ.get("CLARA_API_KEY")
    questions = [row.question for path in given.questions for row in read_rows(Question, path)]

    async def ask() -> list[load.Load]:
        return [
            await load.measure(
                given.url,
                questions,
                clients=clients,
                requests=None if given.seconds else given.requests,
                seconds=given.seconds,
                bad_every=given.bad_every,
                max_tokens=given.max_tokens,
                key=key,
            )
            for clients in given.clients
        ]

    before = asyncio.run(load.resident_bytes(given.url, key=key))
    print("\n".join(load.table(asyncio.run(ask()))))
    after = asyncio.run(load.resident_bytes(given.url, key=key))
    print(f"memory of the server: {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after")


if __name__ == "__main__":
    program.run(main)
