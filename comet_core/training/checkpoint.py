"""The state of a training run on disk: weights, their mean, optimizer moments, counters.
Safetensors, no pickle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from comet_core.checkpoint import WEIGHTS_FILE
from comet_core.errors import CometError
from comet_core.model import CometModel


class OtherRun(CometError):
    """A checkpoint was written by a run of other sizes, another backbone or another objective."""


def trainable(model: CometModel) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save_run(
    path: Path,
    model: CometModel,
    optimizer: Optimizer,
    mean: AveragedModel,
    progress: dict[str, Any],
) -> None:
    """Write everything needed to go on; the old file stays until the new one is whole."""
    tensors = {f"weight.{n}": p.detach().contiguous() for n, p in trainable(model).items()}
    tensors |= {f"mean.{name}": value for name, value in mean.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": value for key, value in moments.items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"progress": json.dumps(progress)})
    partial.replace(path)


def load_run(
    path: Path, model: CometModel, optimizer: Optimizer, mean: AveragedModel
) -> dict[str, Any]:
    """Restore weights, optimizer and mean in place; returns the progress that was saved.

    Raises OtherRun where the checkpoint's weights are not those that are trained, or it is of an
    older form.
    """
    state: dict[int, dict[str, torch.Tensor]] = {}
    means: dict[str, torch.Tensor] = {}
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"])
        if "done" not in progress:
            raise OtherRun(
                f"The run in {path.parent} was begun by an older version; go on from its weights "
                f"in another --run, with --start {path.parent / WEIGHTS_FILE}."
            )
        weights = trainable(model)
        shapes = {f"weight.{name}": list(p.shape) for name, p in weights.items()}
        saved = [key for key in file.keys() if key.startswith("weight.")]  # noqa: SIM118
        if {key: file.get_slice(key).get_shape() for key in saved} != shapes:
            raise OtherRun(
                f"The run in {path.parent} trains other weights (another backbone, other sizes, "
                "a ceiling or none); give another --run."
            )
        for key in file.keys():  # noqa: SIM118 - not a dict
            kind, rest = key.split(".", 1)
            if kind == "weight":
                weights[rest].data.copy_(file.get_tensor(key))
            elif kind == "mean":
                means[rest] = file.get_tensor(key)
            else:
                number, name = rest.split(".", 1)
                state.setdefault(int(number), {})[name] = file.get_tensor(key)
    mean.load_state_dict(means)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress
