"""Token counts by a backbone's tokenizer, without torch."""

import os
from pathlib import Path

from tokenizers import Tokenizer

from clara.errors import CheckpointError
from clara.files import read_json


class TokenCounter:
    """Counts the tokens of texts, special tokens excluded."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        # A tokenizer.json may ask for truncation and padding; counts must not know either.
        tokenizer.no_truncation()
        tokenizer.no_padding()

    @classmethod
    def of_backbone(cls, card: Path) -> "TokenCounter":
        """The counter for the backbone that a `card.json` describes.

        Raises:
            DataError: the card is missing or is no JSON.
            CheckpointError: the card names no folder, or the folder has no usable `tokenizer.json`.
        """
        value = read_json(card)
        folder = value.get("path") if isinstance(value, dict) else None
        if not isinstance(folder, str):
            raise CheckpointError(
                f'{card} must hold "path", the backbone\'s folder; run the step prepare_backbone again'
            )
        return cls.of_folder(card.parent / folder)

    @classmethod
    def of_folder(cls, folder: Path) -> "TokenCounter":
        """The counter for a folder with `tokenizer.json`.

        Raises:
            CheckpointError: the file is missing or cannot be read.
        """
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise CheckpointError(
                f"{file} does not exist; the backbone needs a fast tokenizer: save it with transformers"
            )
        try:
            return cls(Tokenizer.from_file(os.fspath(file)))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(
                f"{file} is no tokenizer that this version reads ({error}); fetch it again"
            ) from error

    def count(self, texts: list[str]) -> list[int]:
        """Tokens of each text."""
        return [len(encoding.ids) for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
