"""The memory without one of its parts: what each part is worth.

An ablation replaces, while it lasts, how the memories of a loaded model are updated; the model
itself is not changed. It is measured as a reader, beside the whole memory, on any suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from comet_core.checkpoint import LoadedModel
from comet_core.evaluation.readers import Exam, MemoryReader, Watcher
from comet_core.memory import GlobalMemory
from comet_core.model import CometModel


@dataclass(frozen=True)
class Ablation:
    """Other updates of the two memories of a layer; None leaves one as it is.

    Each is called as the `update` it stands for, with the module it belongs to in front.
    """

    name: str
    about: str
    update_global: Callable[..., tuple[Tensor, Tensor]] | None = None
    update_temporary: Callable[..., Tensor] | None = None

    @contextmanager
    def on(self, model: CometModel) -> Iterator[None]:
        """The model's memories are updated this way inside the `with` statement."""
        with ExitStack() as stack:
            for networks in model.memories:
                if self.update_global is not None:
                    stack.enter_context(_updating(networks.global_memory, self.update_global))
                if self.update_temporary is not None:
                    stack.enter_context(_updating(networks.temporary_memory, self.update_temporary))
            yield


@contextmanager
def _updating(memory: nn.Module, update: Callable) -> Iterator[None]:
    vars(memory)["update"] = partial(update, memory)  # in front of the method of its class
    try:
        yield
    finally:
        del vars(memory)["update"]


def _no_global(_: GlobalMemory, state: Tensor, readout: Tensor) -> tuple[Tensor, Tensor]:
    """No rows at all, after every chunk as before the first."""
    return readout[:, :0], readout.new_zeros(*readout.shape[:2], 1)


def _no_temporary(_: nn.Module, rows: Tensor, compressed: Tensor, limit: int) -> Tensor:
    return compressed[:, :0]


def _fixed(
    gate: float, memory: GlobalMemory, state: Tensor, readout: Tensor
) -> tuple[Tensor, Tensor]:
    """S' = g * S + (1 - g) * R~ with the same g for all rows."""
    fresh = memory.norm(readout)
    if state.shape[1] == 0:
        return fresh, fresh.new_zeros(*fresh.shape[:2], 1)
    return gate * state + (1 - gate) * fresh, fresh.new_full((*fresh.shape[:2], 1), gate)


ABLATIONS = (
    Ablation("no global", "no global memory", update_global=_no_global),
    Ablation("no temporary", "no temporary memory", update_temporary=_no_temporary),
    Ablation("no memory", "neither: the tail at most", _no_global, _no_temporary),
    Ablation(
        "gate 0", "the gate fixed at 0: all is overwritten", update_global=partial(_fixed, 0.0)
    ),
    Ablation("gate 0.5", "the gate fixed at 0.5", update_global=partial(_fixed, 0.5)),
    Ablation(
        "gate 1", "the gate fixed at 1: the first chunk stays", update_global=partial(_fixed, 1.0)
    ),
)


class AblatedReader(MemoryReader):
    """The memory reader while its model's memories are updated in another way."""

    def __init__(self, loaded: LoadedModel, ablation: Ablation) -> None:
        super().__init__(loaded, ablation.name, ablation.about)
        self.ablation = ablation

    def answer(
        self, exams: Sequence[Exam], max_tokens: int, watcher: Watcher
    ) -> list[list[str | None]]:
        with self.ablation.on(self.model):
            return super().answer(exams, max_tokens, watcher)
