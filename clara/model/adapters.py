"""Named LoRA adapters on one frozen backbone; the only module that knows PEFT."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from threading import RLock
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from clara.errors import CheckpointError, ResourceError
from clara.model.lora import LoraLinear

COMPRESSOR = "compressor"
QUERY_REASONER = "query_reasoner"
GENERATOR = "generator"

NO_ADAPTER = "no_adapter"
"""Named as active while none is: PEFT passes over names that a layer does not have."""


class Adapters:
    """The adapters of one model, and which of them is at work.

    Args:
        model: a causal language model; its linear layers, the head apart, are wrapped in place.
        rank, alpha, dropout: as in LoRA; the update is scaled by alpha / rank.
    """

    def __init__(self, model: Any, *, rank: int, alpha: int, dropout: float) -> None:
        self.model = model
        self._config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=_linear_names(model))
        self._config._register_custom_module({nn.Linear: LoraLinear})
        self.active = NO_ADAPTER
        self.names: list[str] = []
        self._layers: list[tuple[str, Any]] = []
        self._places: list[tuple[dict[str, Any], str]] = []  # of the layers: in which module, by what name
        self._folded: str | None = None
        self._kept: tuple[str, list[nn.Module]] | None = None
        self._lock = RLock()  # of the thread whose adapter is at work

    def add(self, name: str, *, like: str | None = None) -> None:
        """Adds an adapter that changes nothing yet (B = 0), or a copy of the adapter `like`."""
        self._forget()
        inject_adapter_in_model(self._config, self.model, name)
        del self.model.peft_config  # its presence makes PEFT warn of a second adapter, which is what we want
        self._layers = [(path, layer) for path, layer in self.model.named_modules() if isinstance(layer, LoraLayer)]
        parts = [path.rpartition(".") for path, _ in self._layers]
        self._places = [(self.model.get_submodule(parent)._modules, last) for parent, _, last in parts]
        self.names.append(name)
        for parameter in self.parameters(name):
            parameter.data = parameter.data.float()
        if like is not None:
            self.load(name, self.state(like))
        self.model.requires_grad_(False)
        self._activate(self.active)

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Runs the block with adapter `name` (or NO_ADAPTER) at work; nothing learns or stops learning by it.

        Raises:
            CheckpointError: there is no such adapter.
            ResourceError: another thread is in such a block; each would silently compute with the other's adapter.
        """
        if not self._lock.acquire(blocking=False):
            raise ResourceError(
                f"{name} cannot be used: another thread is at work with {self.active} of this model; wait for it, as "
                "Adapters.in_turn and the methods of clara.Clara do"
            )
        try:
            before = self.active
            self._activate(name)
            try:
                yield
            finally:
                self._activate(before)
        finally:
            self._lock.release()

    @contextmanager
    def in_turn(self, name: str) -> Iterator[None]:
        """As `using`, but waits for a thread that is in such a block."""
        with self._lock, self.using(name):
            yield

    def recomputation(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Contexts for a checkpointed layer's forward pass and its recomputation, which takes the same adapter."""
        return nullcontext(), self.using(self.active)

    def _activate(self, name: str) -> None:
        if name != NO_ADAPTER and name not in self.names:
            raise CheckpointError(f"there is no adapter {name}; this model has {', '.join(self.names)}")
        if self._folded not in (None, name) and name != NO_ADAPTER:
            raise CheckpointError(f"{self._folded} is merged into the backbone; leave that block before using {name}")
        # PEFT's own set_adapter also flips requires_grad, by which an adapter that is idle when backward runs
        # silently gets no gradient. Only the choice is changed here.
        for _, layer in self._layers:
            layer._active_adapter = [NO_ADAPTER if name == self._folded else name]
        if self._kept is not None and self._folded is None and name != self.active:
            if name == self._kept[0]:
                self._stand(self._kept[1])
            elif self.active == self._kept[0]:
                self._stand([layer for _, layer in self._layers])
        self.active = name

    def parameters(self, name: str) -> list[nn.Parameter]:
        """The float32 matrices of one adapter, in the order of the layers."""
        return [weight for path, layer in self._layers for weight in _matrices(layer, name).values()]

    def state(self, name: str) -> dict[str, Tensor]:
        """Copies of one adapter's matrices, by `LAYER.A` and `LAYER.B`."""
        return {
            f"{path}.{kind}": weight.detach().clone().contiguous()
            for path, layer in self._layers
            for kind, weight in _matrices(layer, name).items()
        }

    def load(self, name: str, state: dict[str, Tensor]) -> None:
        """Fills an adapter, strictly.

        Raises:
            CheckpointError: a matrix is missing, left over, or of another shape.
        """
        own = {
            f"{path}.{kind}": weight for path, layer in self._layers for kind, weight in _matrices(layer, name).items()
        }
        if set(own) != set(state):
            odd = sorted(set(own) ^ set(state))
            raise CheckpointError(
                f"adapter {name} does not fit this backbone: {len(odd)} matrices differ, first {odd[0]}"
            )
        self._forget()
        for key, weight in own.items():
            if weight.shape != state[key].shape:
                raise CheckpointError(
                    f"adapter {name}, {key}: expected shape {list(weight.shape)}, found {list(state[key].shape)}"
                )
            weight.data.copy_(state[key])

    def set_dropout(self, name: str, on: bool) -> None:
        """Switches the dropout of one adapter; `train` and `eval` of the model switch that of all."""
        for _, layer in self._layers:
            if name in layer.lora_dropout:
                layer.lora_dropout[name].train(on)

    def cast(self, dtype: torch.dtype) -> None:
        """Casts every adapter, for inference in the backbone's precision."""
        self._forget()
        for name in self.names:
            for parameter in self.parameters(name):
                parameter.data = parameter.data.to(dtype)

    def keep_folded(self, name: str) -> None:
        """Keeps a copy of the linear layers with adapter `name` folded in, which is at work wherever `name` is.

        Its tokens cost what they cost the bare backbone, other adapters stay at hand, and results are those of
        `merged`. The copy takes as much memory as the layers. Only for inference: `name` learns nothing by it.
        """
        self._forget()
        with self.in_turn(NO_ADAPTER):
            self._kept = name, [_plain(layer, self._sum(layer, name)) for _, layer in self._layers]

    def _forget(self) -> None:
        """Drops the copy of `keep_folded`, whose adapter is about to change."""
        if self._kept is not None:
            self._stand([layer for _, layer in self._layers])
            self._kept = None

    def _stand(self, layers: list[Any]) -> None:
        # Not by set_submodule, which takes 5 ms for 210 layers, twice for each piece of a streamed answer.
        for (modules, name), layer in zip(self._places, layers, strict=True):
            modules[name] = layer

    def _sum(self, layer: Any, name: str) -> Tensor:
        """The weight of a layer with adapter `name` added, in the layer's precision."""
        base, weights = layer.get_base_layer().weight, _matrices(layer, name)
        update = weights["B"].data.float() @ weights["A"].data.float() * layer.scaling[name]
        total: Tensor = (base.data.float() + update).to(base.dtype)
        return total

    @contextmanager
    def merged(self, name: str) -> Iterator[None]:
        """Runs the block with adapter `name` folded into the backbone's weights, which are put back exactly after.

        The linear layers stand in the model as they did before there were adapters: a token costs what it costs the
        bare backbone, and the model can be written as a plain one. The original weights wait in the host's memory:
        that they lie twice is counted there (`FOLDING` of clara/sizing/steps.py).
        """
        with self.using(NO_ADAPTER):
            saved = [layer.get_base_layer().weight.data.cpu() for _, layer in self._layers]  # on a CPU no copies
            try:
                for _, layer in self._layers:
                    layer.get_base_layer().weight.data = self._sum(layer, name)
                self._stand([layer.get_base_layer() for _, layer in self._layers])
                self._folded = name
                yield
            finally:
                self._folded = None
                self._stand([layer for _, layer in self._layers])
                for (_, layer), weight in zip(self._layers, saved, strict=True):
                    base = layer.get_base_layer().weight
                    base.data = weight.to(base.device)


def _matrices(layer: Any, name: str) -> dict[str, nn.Parameter]:
    if name not in layer.lora_A:
        return {}
    matrices: dict[str, Any] = {"A": layer.lora_A[name].weight, "B": layer.lora_B[name].weight}
    return matrices


def _plain(layer: Any, weight: Tensor) -> nn.Module:
    """The linear layer that `layer` wraps, with another weight."""
    made: nn.Module = copy(layer.get_base_layer())
    made._parameters = dict(made._parameters) | {"weight": nn.Parameter(weight, requires_grad=False)}
    return made


def _linear_names(model: Any) -> list[str]:
    """Last name parts of all linear layers but the head."""
    head = model.get_output_embeddings()
    return sorted(
        {
            path.rsplit(".", 1)[-1]
            for path, layer in model.named_modules()
            if isinstance(layer, nn.Linear) and layer is not head
        }
    )
