"""A trained checkpoint for use from Python: `import clara; model = clara.load(folder)`."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from clara.errors import CheckpointError
from clara.evaluation.answerable import read_calibration
from clara.files import read_json
from clara.model import checkpoint
from clara.model.adapters import GENERATOR, QUERY_REASONER
from clara.model.answers import UNKNOWN, Answer, Seconds, Selected
from clara.model.calls import require_candidates, require_count, require_texts
from clara.model.encoding import batches_by_length
from clara.model.generator import generate
from clara.model.store import MemoryStore
from clara.model.streaming import OnText, pieces, stream
from clara.retriever import Retriever

WRITE_TOKENS = 16384
"""Places of the prompts and answers that are written together, padding included. Their keys and values take 2.1 GB with
Mistral-7B in bfloat16; a few hundred questions at once would fill a GPU."""


class Clara(Retriever):
    """A checkpoint of any stage. Later stages serve more: `serves` says what.

    Threads may share it: those that need the language model at the same time take turns.
    """

    @property
    def serves(self) -> list[str]:
        """The methods that this checkpoint can answer."""
        return methods(self.card.roles)

    def __repr__(self) -> str:
        shape = self.card.shape
        return f"<Clara {self.card.stage}, {shape.num_memory} memories a document; serves {', '.join(self.serves)}>"

    def answer(
        self,
        questions: Sequence[str],
        *,
        documents: Sequence[Sequence[str]] | None = None,
        store: MemoryStore | str | Path | None = None,
        k: int = 5,
        max_new_tokens: int = 64,
    ) -> list[Answer]:
        """Answers from memories, of any number of questions: those that fit are written together.

        Args:
            questions: the questions.
            documents: candidates of each question; those that `store` holds are read from it, others are compressed.
            store: a store built by this compressor, or its manifest's path; without documents searched as a whole.
            k: documents that the generator reads, 50 at most.
            max_new_tokens: tokens of an answer at most.

        Raises:
            DataError: neither documents nor store are given, counts differ, or what came is no text.
            CheckpointError: more than k candidates but no query reasoner, or a store of another compressor.
        """
        require_count(max_new_tokens, "max_new_tokens")
        return self._answers(questions, self.find(questions, documents=documents, store=store, k=k), max_new_tokens)

    def read(
        self, questions: Sequence[str], documents: Sequence[Sequence[str]], *, max_new_tokens: int = 64
    ) -> list[Answer]:
        """Answers from all documents of each question, in their order; nothing is selected."""
        require_count(max_new_tokens, "max_new_tokens")
        require_texts(questions, "read")
        require_candidates(questions, documents)
        memories = self._memories(list(dict.fromkeys(text for texts in documents for text in texts)), None)
        chosen = [Selected(list(texts), [], [memories[text] for text in texts]) for texts in documents]
        return self._answers(questions, chosen, max_new_tokens)

    def paraphrase(self, texts: Sequence[str], *, max_new_tokens: int = 64) -> list[str]:
        """Documents as the generator rewrites them from their memories alone."""
        require_count(max_new_tokens, "max_new_tokens")
        memories = [[vectors] for vectors in self.compress(texts)]
        return self._generated([self.model.tokens.paraphrase_prompt(1)] * len(texts), memories, max_new_tokens)

    def write(
        self,
        questions: Sequence[str],
        chosen: Sequence[Selected],
        *,
        max_new_tokens: Sequence[int],
        on_text: OnText,
        stopped: Callable[[int], bool] = lambda row: False,
    ) -> list[int]:
        """Tokens of the answers to `find`'s selections, written together; each piece is given to `on_text`.

        Where a selection is `unknown`, that is said, and no token is written.

        Args:
            questions: the questions.
            chosen: what the generator reads for each.
            max_new_tokens: tokens of each answer at most.
            on_text: takes a question's number and what was added to its answer.
            stopped: whether a question's answer is no longer wanted.
        """
        with self.model.adapters.in_turn(GENERATOR):
            return self._written(questions, chosen, max_new_tokens, on_text, stopped)

    def _written(
        self,
        questions: Sequence[str],
        chosen: Sequence[Selected],
        max_new_tokens: Sequence[int],
        on_text: OnText,
        stopped: Callable[[int], bool],
    ) -> list[int]:
        """As `write`, with the generator at work already."""
        known, written = _known(chosen), list[int]()
        if known:
            model = self.model
            written = stream(
                model.backbone,
                model.generator,
                [self._prompt(questions[row], chosen[row]) for row in known],
                self._stacked([vectors for row in known for vectors in chosen[row].memories]),
                model.added,
                max_new_tokens=[max_new_tokens[row] for row in known],
                on_text=lambda place, text: on_text(known[place], text),
                stopped=lambda place: stopped(known[place]),
            )
        counts = dict(zip(known, written, strict=True))
        for row in range(len(chosen)):
            if row not in counts:
                on_text(row, UNKNOWN)
        return [counts.get(row, 0) for row in range(len(chosen))]

    def stream(
        self, question: str, *, store: MemoryStore | str | Path, k: int = 5, max_new_tokens: int = 64
    ) -> Iterator[str]:
        """The answer to one question in pieces, written as the loop asks for them; leaving it ends the writing.

        Between two pieces the model is free for other calls. What is read is found at once, before the loop begins.

        Raises:
            DataError: what came is no text, or a number is none.
            CheckpointError: there is no query reasoner, or the store is of another compressor.
        """
        require_count(max_new_tokens, "max_new_tokens")
        return self._pieces(question, self.find([question], store=store, k=k), max_new_tokens)

    def _pieces(self, question: str, chosen: Sequence[Selected], max_new_tokens: int) -> Iterator[str]:
        """A function of its own: of a generator not even the refusals run before the first piece is asked for."""

        def work(give: Callable[[str], None], stopped: Callable[[], bool]) -> None:
            self._written([question], chosen, [max_new_tokens], lambda row, text: give(text), lambda row: stopped())

        with closing(pieces(work)) as steps:
            while True:
                with self.model.adapters.in_turn(GENERATOR):
                    piece = next(steps, None)
                if piece is None:
                    return
                yield piece

    def _answers(self, questions: Sequence[str], chosen: Sequence[Selected], max_new_tokens: int) -> list[Answer]:
        started = time.perf_counter()
        texts, known = [UNKNOWN] * len(chosen), _known(chosen)
        if known:
            prompts = [self._prompt(questions[row], chosen[row]) for row in known]
            written = self._generated(prompts, [chosen[row].memories for row in known], max_new_tokens)
            for row, text in zip(known, written, strict=True):
                texts[row] = text
        seconds = time.perf_counter() - started
        return [
            Answer(
                text,
                found.documents,
                [round(score, 6) for score in found.scores],
                Seconds(found.reasoner_seconds, found.search_seconds, seconds),
                found.sure,
            )
            for text, found in zip(texts, chosen, strict=True)
        ]

    def _generated(
        self, prompts: Sequence[list[int]], memories: Sequence[Sequence[Tensor]], max_new_tokens: int
    ) -> list[str]:
        """What is written after each prompt, whose slots its own memories fill, in batches within `WRITE_TOKENS`.

        Between two batches other threads may have their turn.
        """
        model, texts = self.model, [""] * len(prompts)
        lengths = [len(prompt) + max_new_tokens for prompt in prompts]
        # A token of an answer costs a step of the whole model: a batch is as large as may be, padding or not.
        for batch in batches_by_length(lengths, WRITE_TOKENS, enough=WRITE_TOKENS):
            vectors = self._stacked([vectors for row in batch for vectors in memories[row]])
            with model.adapters.in_turn(GENERATOR):
                written = generate(
                    model.backbone,
                    model.generator,
                    [prompts[row] for row in batch],
                    vectors,
                    model.added,
                    max_new_tokens=max_new_tokens,
                )
            for row, text in zip(batch, written, strict=True):
                texts[row] = text
        return texts

    def _prompt(self, question: str, found: Selected) -> list[int]:
        return self.model.tokens.answer_prompt(question, len(found.documents))

    def _stacked(self, memories: Sequence[Tensor]) -> Tensor | None:
        """On the device, `[documents, memory, dim]`; None where there are none."""
        return torch.stack(list(memories)).to(self.model.backbone.device) if memories else None


def methods(roles: Sequence[str]) -> list[str]:
    """The methods of `Clara` that a checkpoint with these roles can answer."""
    return ["compress", "score", "select", "answer"] + (["reason", "search"] if QUERY_REASONER in roles else [])


def load(
    folder: str | Path,
    *,
    dtype: str | None = None,
    device: str | None = None,
    calibration: str | Path | None = None,
    folded: bool = False,
) -> Clara:
    """The checkpoint of any stage in `folder`.

    Args:
        folder: holds `card.json`; or the card itself.
        dtype: precision of the backbone; None takes the one it was trained with.
        device: cpu, cuda, cuda:1, mps; None takes a GPU where there is one, else the CPU.
        calibration: a file of `clara calibrate`; from a store, questions below its threshold are answered with the
            sentence that it does not know.
        folded: keep a copy of the language model's layers with the generator folded in: answers sooner, and with the
            rounding of the pipeline's, for nearly twice the memory.

    Raises:
        CheckpointError: it is no checkpoint, damaged, its backbone is another or missing, or the calibration is another
            checkpoint's.
        ConfigError: the precision or the device is none that there is here.
    """
    card = Path(folder)
    card = card / "card.json" if card.is_dir() else card
    if not card.exists():
        raise CheckpointError(f"{card} does not exist; name the folder of a finished training stage")
    settings = card.parent / "settings.json"
    trained = _trained(settings) if settings.exists() else {"dtype": "float32"}
    attention = trained.get("attention", "sdpa")
    loaded = checkpoint.load(card, dtype=dtype or trained["dtype"], attention=attention, inference=True, device=device)
    if folded:
        loaded.model.adapters.keep_folded(GENERATOR)
    fitted = read_calibration(Path(calibration), loaded.compressor_hash) if calibration is not None else None
    return Clara(loaded, fitted)


def _trained(settings: Path) -> dict[str, str]:
    """The section `backbone` of a stage's settings."""
    content = read_json(settings)
    section = content.get("backbone") if isinstance(content, dict) else None
    if not isinstance(section, dict) or not all(
        isinstance(value, str) for value in (section.get("dtype"), section.get("attention", "sdpa"))
    ):
        raise CheckpointError(
            f"{settings} must hold backbone.dtype, such as float32, and may hold backbone.attention, such as sdpa; "
            "restore the file that the stage wrote beside the checkpoint"
        )
    return section


def _known(chosen: Sequence[Selected]) -> list[int]:
    """Numbers of the selections that an answer is written from."""
    return [row for row, found in enumerate(chosen) if not found.unknown]
