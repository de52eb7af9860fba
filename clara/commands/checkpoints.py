"""Commands for checkpoints: info, export, export-hub, export-small, import-released, provenance, crate."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from clara.commands.shared import Checkpoint, Json, card_of, print_json, print_result, print_rows

Precision = Literal["float32", "bfloat16", "float16"]


def import_released(
    source: Annotated[
        Path, typer.Argument(help="Folder with config.json, adapters.pth, decoder_first_last_layers.pth")
    ],
    target: Annotated[Path, typer.Argument(help="Folder that takes the checkpoint in this project's format")],
    base: Annotated[
        str | None, typer.Option(help="Base model, a folder or Hub name; default: the one that the checkpoint names")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a checkpoint of the released code into one of this project."""
    from clara.model import released

    card = released.import_released(source, target, base=base)
    sentence = f"{target}: a checkpoint of {card.stage} with {', '.join(card.roles)}; clara info {target}"
    print_result(sentence, {"checkpoint": target, "stage": card.stage, "roles": card.roles}, as_json=as_json)


def export(
    checkpoint: Checkpoint,
    role: Annotated[str, typer.Argument(help="compressor, query_reasoner or generator")],
    target: Annotated[Path, typer.Argument(help="New folder that takes the language model with the role merged in")],
    dtype: Annotated[Precision, typer.Option(help="Precision of the weights; below float32 they are rounded")] = (
        "float32"
    ),
    as_json: Json = False,
) -> None:
    """Write one role of a checkpoint, merged into its language model, as a plain transformers folder."""
    from clara.model.export import export as write

    write(card_of(checkpoint), role, target, dtype=dtype)
    sentence = f"{target}: the {role} of {checkpoint}, for transformers and vLLM"
    print_result(sentence, {"model": target, "role": role, "dtype": dtype}, as_json=as_json)


def export_hub(
    checkpoint: Checkpoint,
    target: Annotated[Path, typer.Argument(help="New folder, ready for the Hugging Face Hub")],
    results: Annotated[Path | None, typer.Option(help="Markdown tables for the model card")] = None,
    as_json: Json = False,
) -> None:
    """Write a checkpoint with its language model, a model card and the code by which AutoModel loads it."""
    from clara.commands.hub_folder import write_hub_folder

    write_hub_folder(card_of(checkpoint), target, results=results)
    print_result(f"{target}: ready to be uploaded; read its README.md before", {"folder": target}, as_json=as_json)


def export_small(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, results/NAME")],
    target: Annotated[Path, typer.Argument(help="New folder, small enough for a repository")],
    command: Annotated[str, typer.Option(help="What made the run, for the card")],
    data: Annotated[str, typer.Option(help="What it learned from and under which licences, for the card")],
    init: Annotated[str, typer.Option(help="What joint training started from")] = "instruction",
    variant: Annotated[str, typer.Option(help="Which variant of the run")] = "base",
    bits: Annotated[int, typer.Option(help="Precision, 1 to 8: updates of layers are off by 2^-bits")] = 2,
    as_json: Json = False,
) -> None:
    """Write a run's last checkpoints without the language model, in few bits, with a card."""
    from clara.commands.small_folder import write_small_folder

    sizes = write_small_folder(run, target, init=init, variant=variant, bits=bits, command=command, data=data)
    told = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items())
    print_result(f"{target}: {told}; read its README.md", {"folder": target, "bytes": sizes}, as_json=as_json)


def info(checkpoint: Checkpoint, as_json: Json = False) -> None:
    """Say what a checkpoint is and what it serves."""
    from clara.model.checkpoint import read_card
    from clara.serving import methods

    path = card_of(checkpoint)
    card = read_card(path)
    shape = card.shape
    weights = f", idf power {shape.idf_power:g}" if shape.form == "pooled" else ""
    rows = {
        "checkpoint": path.parent,
        "stage": card.stage,
        "backbone": (path.parent / card.backbone).resolve(),
        "memory": f"{shape.num_memory} vectors for {shape.document_max_tokens} tokens, form {shape.form}{weights}",
        "adapters": f"{', '.join(card.roles)}; rank {shape.rank}, alpha {shape.alpha}",
        "learned": ", ".join(card.learned),
        "weights": card.weights_hash[:12],
        "serves": ", ".join(methods(card.roles)),
    }
    print_rows(rows, as_json=as_json)


def provenance(
    file: Annotated[Path, typer.Argument(help="A result, named from the folder that the pipeline ran in")],
    as_json: Json = False,
) -> None:
    """Print what a result was made from, back to the raw corpus; exit status 1 where a hash is not the recorded."""
    from clara.provenance import chain, described

    links = chain(file)
    if as_json:
        print_json([link._asdict() for link in links])
    else:
        typer.echo(described(links))
    off = [link for link in links if link.state in ("changed", "missing")]
    if off:
        typer.echo(f"{len(off)} of {len(links) - 1} inputs are not what the results were made from", err=True)
        raise typer.Exit(1)


def crate(
    run: Annotated[
        Path, typer.Argument(help="A finished run's folder, named from the folder that the pipeline ran in")
    ],
    as_json: Json = False,
) -> None:
    """Describe a finished run as an RO-Crate: `ro-crate-metadata.json` in its folder."""
    from clara.crate import write_crate

    path = write_crate(run)
    print_result(f"written: {path}", {"crate": path}, as_json=as_json)
