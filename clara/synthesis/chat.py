"""Chats as a model's tokenizer writes them."""

from collections.abc import Sequence
from typing import Any

from clara.synthesis.engine import Message
from clara.tokens import chat_text, folded, takes_system


class ChatForm:
    """Turns chats into ids, in a form that is settled once: with a system turn, or with its text in the user's.

    A base model's tokenizer, which has no chat template, gets the texts as paragraphs.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._takes_system = takes_system(tokenizer)

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a chat up to where the reply begins."""
        text = chat_text(self._tokenizer, messages if self._takes_system else folded(messages))
        # A template writes the token that begins a text itself.
        plain = self._tokenizer.chat_template is None
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=plain)
        return ids
