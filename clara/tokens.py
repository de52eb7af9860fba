"""Token ids: the added tokens, which are ids and never strings, and chat prompts with slots for documents.

Nothing that a user writes is ever parsed for special tokens: template pieces and user text are encoded apart.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from clara.errors import CheckpointError, ConfigError
from clara.prompts import render

MARK = "clara-fill-{}-7e1f"
"""Stands for user text or ids while a prompt and its chat template are rendered."""
FOUND_MARK = re.compile(MARK.format(r"(\d+)"))

_reading = Lock()
"""Held while a tokenizer is at work: whether it parses special tokens is a flag of its own, and models may share it.
Otherwise another thread's text could bring a `<|im_end|>` that counts. A copy for texts alone takes 0.4 s."""


@dataclass(frozen=True)
class AddedIds:
    """Ids of the tokens that CLaRa adds, above the backbone's own vocabulary.

    ENC opens a text to compress, MEM 0 … num_memory-1 close it, SEP closes a document's slot in a prompt, and SLOT
    holds the place of one memory vector there.
    """

    vocab_size: int
    num_memory: int

    @property
    def enc(self) -> int:
        return self.vocab_size

    @property
    def memory(self) -> list[int]:
        return [self.vocab_size + 1 + index for index in range(self.num_memory)]

    @property
    def sep(self) -> int:
        return self.vocab_size + 1 + self.num_memory

    @property
    def slot(self) -> int:
        return self.sep + 1

    def document_slot(self) -> list[int]:
        """The ids that stand for one document in a prompt: num_memory times SLOT, then SEP."""
        return [self.slot] * self.num_memory + [self.sep]


@dataclass(frozen=True)
class CompressorInput:
    """`<ENC> BOS text EOS <MEM…>`, and where the text lies in it."""

    ids: list[int]
    text_start: int
    text_length: int
    cut: int = 0
    """Tokens of the text beyond the limit, which are left out."""


class Encoder:
    """Turns texts and chat messages into ids for one backbone and one number of memory tokens.

    Args:
        tokenizer: a fast `transformers` tokenizer.
        end_of_turn: id that ends the assistant's turn.
        added: ids of the added tokens.
        document_max_tokens: text tokens of a document at most; the rest is cut (the corpus stage splits before).
    """

    def __init__(self, tokenizer: Any, *, end_of_turn: int, added: AddedIds, document_max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.end_of_turn = end_of_turn
        self.added = added
        self.document_max_tokens = document_max_tokens
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()  # a tokenizer.json may hold both; what is cut is our affair
        backend.no_padding()
        self._control = control_tokens(tokenizer)
        self._pieces: dict[tuple[tuple[str, str], ...], list[list[int] | int]] = {}

    def text(self, text: str) -> list[int]:
        """Ids of `text`, with no special token parsed from it or added to it."""
        backend = self.tokenizer.backend_tokenizer
        with _reading:
            before = backend.encode_special_tokens
            backend.encode_special_tokens = True  # "encode" here means: as ordinary text
            try:
                ids: list[int] = backend.encode(text, add_special_tokens=False).ids
                if not self._control.keys().isdisjoint(ids):
                    # Added tokens that are not marked special (Gemma's <start_of_turn>) are found in text all the same.
                    parts = _broken(text, [token for token in self._control.values() if token in text])
                    ids = [token for part in parts for token in backend.encode(part, add_special_tokens=False).ids]
            finally:
                backend.encode_special_tokens = before
        return ids

    def to_compress(self, text: str) -> CompressorInput:
        """The compressor's input for one document or question; the text is cut before the frame is added."""
        return self.framed(self.text(text))

    def framed(self, whole: list[int]) -> CompressorInput:
        """The same for a text given as ids."""
        text_ids = whole[: self.document_max_tokens]
        start_id, end_id = self.tokenizer.bos_token_id, self.end_of_turn
        head = [self.added.enc] + ([start_id] if start_id is not None else [])
        cut = len(whole) - len(text_ids)
        return CompressorInput([*head, *text_ids, end_id, *self.added.memory], len(head), len(text_ids), cut)

    def answer_prompt(self, question: str, documents: Sequence[str] | int | None) -> list[int]:
        """Ids of the answering prompt (paper, Fig. 18), up to where the answer begins.

        Args:
            question: the question.
            documents: texts to show, a number of documents given as memories, or None for no background.
        """
        if documents is None or (isinstance(documents, int) and documents == 0):
            return self.chat(
                render("answer_system"), render("answer_alone", question=MARK.format(0)), [self.text(question)]
            )
        user = render("answer_user", background=MARK.format(0), question=MARK.format(1))
        return self.chat(render("answer_system"), user, [self.background(documents), self.text(question)])

    def pairs_prompt(self, documents: Sequence[str] | int) -> list[int]:
        """Ids of the prompt whose target is a list of questions and answers."""
        user = render("pairs_user", background=MARK.format(0))
        return self.chat(render("pairs_system"), user, [self.background(documents)])

    def paraphrase_prompt(self, documents: Sequence[str] | int) -> list[int]:
        """Ids of the prompt whose target is a rewritten document."""
        return self.chat(None, render("paraphrase_user", background=MARK.format(0)), [self.background(documents)])

    def background(self, documents: Sequence[str] | int) -> list[int]:
        """Slots for a number of documents, or the ids of their texts, an empty line between two."""
        if isinstance(documents, int):
            return self.added.document_slot() * documents
        return self.text("\n\n".join(documents))

    def target(self, text: str, *, max_tokens: int) -> list[int]:
        """Ids of what the assistant must write, its end included; longer texts lose their tail, never the end."""
        return self.ended(self.text(text), max_tokens=max_tokens)

    def ended(self, whole: list[int], *, max_tokens: int) -> list[int]:
        """The same for a text given as ids."""
        return [*whole[: max_tokens - 1], self.end_of_turn]

    def chat(self, system: str | None, user: str, fills: list[list[int]]) -> list[int]:
        """Ids of a chat prompt in which each mark in `user` is replaced by the ids in `fills`."""
        key = ((system or "", user),)
        if key not in self._pieces:
            self._pieces[key] = self._template_pieces(system, user, len(fills))
        ids: list[int] = []
        for piece in self._pieces[key]:
            ids += fills[piece] if isinstance(piece, int) else piece
        return ids

    def _template_pieces(self, system: str | None, user: str, fills: int) -> list[list[int] | int]:
        """Ids of the template's own text, in turn with the numbers of the fills.

        Raises:
            ConfigError: one of the fills has no place, or several.
        """
        text = apply_chat_template(self.tokenizer, system, user)
        pieces: list[list[int] | int] = []
        bos = self.tokenizer.bos_token_id
        with _reading:
            opens = self.tokenizer.chat_template is None and bos is not None and bos in self.tokenizer.encode("")
        if opens:
            pieces.append([bos])  # a chat template writes its own; base models that expect one do poorly without
        parts = FOUND_MARK.split(text)  # in the order of the rendered text, whichever the template shows first
        numbers = [int(number) for number in parts[1::2]]
        if sorted(numbers) != list(range(fills)):
            raise ConfigError(
                f"a prompt template must show each of its {fills} variables once; the rendered prompt shows "
                f"{len(numbers)} of them: {user!r}"
            )
        for head, number in zip(parts[::2], numbers, strict=False):
            pieces += [self._template_ids(head), number]
        pieces.append(self._template_ids(parts[-1]))
        return pieces

    def _template_ids(self, text: str) -> list[int]:
        with _reading:
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """Id → text of the tokens that steer a model: special ones, and added ones that the chat template writes."""
    template = tokenizer.chat_template or ""
    return {
        index: token.content
        for index, token in tokenizer.added_tokens_decoder.items()
        if len(token.content.strip()) > 1 and (token.special or token.content in template)
    }


def _broken(text: str, tokens: Sequence[str]) -> list[str]:
    """`text` in parts, cut within every occurrence of one of `tokens`."""
    if not tokens:
        return [text]
    return re.split("|".join(f"(?<={re.escape(token[0])})(?={re.escape(token[1:])})" for token in tokens), text)


def apply_chat_template(tokenizer: Any, system: str | None, user: str) -> str:
    """The prompt text up to the assistant's turn; a template without a system role gets it within the user's turn."""
    turns = [("user", user)] if system is None else [("system", system), ("user", user)]
    return chat_text(tokenizer, turns if takes_system(tokenizer) else folded(turns))


def takes_system(tokenizer: Any) -> bool:
    """Whether a tokenizer's chat template writes a system turn; Gemma-2's refuses it, others leave it out."""
    mark = MARK.format("system")
    try:
        return mark in chat_text(tokenizer, [("system", mark), ("user", "x")])
    except Exception as error:  # whatever a template raises when it has no system role
        if "system" not in str(error).lower() and "role" not in str(error).lower():
            raise
        return False


def folded(turns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """A chat's turns without the system's, the text of which begins the first turn behind it."""
    if not turns or turns[0][0] != "system":
        return list(turns)
    (_, system), (role, first), *others = turns
    return [(role, f"{system}\n\n{first}" if system else first), *others]


def chat_text(tokenizer: Any, turns: Sequence[tuple[str, str]]) -> str:
    """A chat up to the assistant's next turn, in a template's form; without a template, its texts as paragraphs."""
    if tokenizer.chat_template is None:
        return "".join(f"{content}\n\n" for _, content in turns if content)
    messages = [{"role": role, "content": content} for role, content in turns]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def end_of_turn_id(tokenizer: Any) -> int:
    """Id of the token that the chat template writes after an assistant's message, or the tokenizer's EOS.

    GGUF metadata may name a wrong EOS (SmolLM2's names `<|im_start|>`), so the template is asked first.

    Raises:
        CheckpointError: there is neither.
    """
    if tokenizer.chat_template is not None:
        mark = MARK.format("end")
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": mark}]
        rest = tokenizer.apply_chat_template(messages, tokenize=False).rsplit(mark, 1)[-1]
        special = set(tokenizer.all_special_ids) | {
            index for index, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        for token in tokenizer.encode(rest.strip(), add_special_tokens=False):
            if token in special:
                return int(token)
    if tokenizer.eos_token_id is None:
        raise CheckpointError(
            "the tokenizer names no end-of-sequence token; set eos_token in its tokenizer_config.json"
        )
    return int(tokenizer.eos_token_id)
