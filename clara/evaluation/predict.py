"""Predictions: what CLaRa and the baselines answer, written before anything is scored."""

from collections.abc import Callable, Sequence
from pathlib import Path

from clara.config.evaluation import Generation
from clara.evaluation import writers
from clara.evaluation.answering import Pool, Task, predictions
from clara.evaluation.selection import select_with_reasoner
from clara.files import text_id
from clara.model.backbone import LoadedBackbone
from clara.model.checkpoint import LoadedCheckpoint
from clara.model.store import MemoryStore
from clara.records import Prediction
from clara.tokens import AddedIds, Encoder


def whole_store(loaded: LoadedCheckpoint, manifest: Path) -> MemoryStore:
    """The store, which the checkpoint's compressor built; every file is read once.

    Raises:
        CheckpointError: it is of another compressor, or a file is not as it was written.
    """
    store = MemoryStore(manifest)
    store.require(loaded.compressor_hash)
    store.require_unharmed()
    return store


def with_memories(
    system: str,
    loaded: LoadedCheckpoint,
    store: Path,
    pools: Sequence[Pool],
    *,
    top_k: int,
    generation: Generation,
    state: Path | None,
) -> list[Prediction]:
    """Predictions of CLaRa: the reasoner selects in the store, the generator answers from memories.

    The generator is folded into the backbone, so that a token costs what it costs the bare backbone.

    Args:
        system: name of the system.
        loaded: checkpoint of joint training.
        store: manifest of a store that its compressor built.
        pools: what to answer.
        top_k: documents that the generator reads.
        generation: length of answers and batch size.
        state: folder where answers of an interrupted run wait; None keeps none.

    Raises:
        CheckpointError: the store is of another compressor or damaged, or the checkpoint has no query reasoner.
        ConfigError: a prompt is longer than the language model's context.
    """
    memories = whole_store(loaded, store)
    tasks = select_with_reasoner(loaded.model, memories, pools, top_k=top_k)
    return from_memories(system, loaded, memories, tasks, generation=generation, state=state)


def from_memories(
    system: str,
    loaded: LoadedCheckpoint,
    memories: MemoryStore,
    tasks: Sequence[Task],
    *,
    generation: Generation,
    state: Path | None,
) -> list[Prediction]:
    """Predictions of a checkpoint of any stage from the stored memories of the tasks' documents.

    Args:
        system: name of the system.
        loaded: its generator answers.
        memories: a store that its compressor built.
        tasks: what to answer, and from what.
        generation: length of answers and batch size.
        state: folder where answers of an interrupted run wait; None keeps none.

    Raises:
        CheckpointError: the store is of another compressor.
        ConfigError: a prompt is longer than the language model's context.
    """
    model = loaded.model
    memories.require(loaded.compressor_hash)
    origin = [loaded.card.weights_hash, memories.path.read_text("utf-8"), generation.model_dump_json()]
    origin += [repr((task.pool.benchmark, task.pool.setting, task.question, task.selected)) for task in tasks]
    # Named by all that an answer depends on: answers of another checkpoint are never taken for this one's.
    origin_id = text_id("\n".join(origin))
    done_file = state / f"answers-{origin_id}.jsonl" if state else None

    def prompt(task: Task) -> list[int]:
        return model.tokens.answer_prompt(task.question.question, len(task.selected))

    _require_room(model.backbone, tasks, prompt, generation)
    with writers.from_memories(model, generation, state) as writer:

        def answer(batch: Sequence[Task]) -> list[str]:
            documents = [task.question.docs[index] for task in batch for index in task.selected]
            return writer.write([prompt(task) for task in batch], memories.memories(documents) if documents else None)

        return predictions(
            system,
            tasks,
            answer,
            length=lambda task: len(prompt(task)),
            batch_size=writer.batch_size,
            done_file=done_file,
        )


def with_backbone(
    system: str, backbone: LoadedBackbone, tasks: Sequence[Task], *, generation: Generation
) -> list[Prediction]:
    """Predictions of the backbone alone: from the text of the tasks' documents, or from nothing where there is none."""
    added = AddedIds(backbone.vocab_size, 0)
    tokens = Encoder(backbone.tokenizer, end_of_turn=backbone.end_of_turn, added=added, document_max_tokens=1)

    def prompt(task: Task) -> list[int]:
        texts = [task.question.docs[index] for index in task.selected]
        return tokens.answer_prompt(task.question.question, texts or None)

    _require_room(backbone, tasks, prompt, generation)
    with writers.from_text(backbone, generation) as writer:
        return predictions(
            system,
            tasks,
            lambda batch: writer.write([prompt(task) for task in batch], None),
            length=lambda task: len(prompt(task)),
            batch_size=writer.batch_size,
            done_file=None,
        )


def _require_room(
    backbone: LoadedBackbone, tasks: Sequence[Task], prompt: Callable[[Task], list[int]], generation: Generation
) -> None:
    """Refuses a question whose prompt and answer are too long before the first is answered: the longest come last."""
    for task in tasks:
        length = len(prompt(task)) + generation.max_new_tokens
        backbone.require_room(length, f"the prompt of question {task.question.id} with its answer")
