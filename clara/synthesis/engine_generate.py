"""The plain way to ask a model, to compare with: `generate` of transformers, one request after the other."""

from pathlib import Path
from typing import Any

from clara.synthesis.chat import ChatForm
from clara.synthesis.engine import Reply, Request


class GenerateLoop:
    """Greedy replies, each prompt by itself; for `clara.synthesis.bench` and tests, no choice of the settings."""

    name = "generate"
    model = "generate"
    capacity = 1

    def __init__(self, folder: Path, *, dtype: str) -> None:
        from clara.model.model_folder import placed, read_model, read_tokenizer

        self._tokenizer: Any = read_tokenizer(folder)
        self._chat = ChatForm(self._tokenizer)
        self._model: Any = placed(read_model(folder, dtype=dtype), "cpu", dtype)
        self._end = int(self._tokenizer.eos_token_id)
        self._waiting: list[tuple[str, Request]] = []

    def submit(self, key: str, request: Request) -> None:
        """Notes the request."""
        self._waiting.append((key, request))

    def collect(self) -> list[tuple[str, Reply]]:
        """The reply to the oldest request."""
        if not self._waiting:
            return []
        key, request = self._waiting.pop(0)
        return [(key, self._reply(request))]

    def close(self) -> None:
        """Drops the model."""
        del self._model

    def _reply(self, request: Request) -> Reply:
        import torch

        ids = self._chat.ids(request.messages)
        begun = self._encode(request.beginning)
        prompt = torch.tensor([[*ids, *begun]])
        choices = [[*self._encode(choice), self._end] for choice in request.choices]

        def allowed(_: int, so_far: Any) -> list[int]:
            reply = so_far[prompt.shape[1] :].tolist()
            return [choice[len(reply)] for choice in choices if choice[: len(reply)] == reply]

        written = self._model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=request.sampling.max_tokens,
            do_sample=False,
            eos_token_id=self._end,
            pad_token_id=self._end,
            prefix_allowed_tokens_fn=allowed if choices else None,
        )[0, prompt.shape[1] :].tolist()
        ended = written[-1] == self._end
        text = self._tokenizer.decode([*begun, *(written[:-1] if ended else written)], skip_special_tokens=True)
        return Reply(text, "stop" if ended else "length", prompt.shape[1], len(written))

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids
