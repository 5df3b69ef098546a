"""Where a model runs and in which precision: chosen once, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from comet_core.errors import CometError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class UnknownDevice(CometError):
    """A device or precision was asked for that this machine or this program does not have."""


@dataclass(frozen=True)
class Placement:
    """Device and dtype of a model, and why."""

    device: torch.device
    dtype: torch.dtype
    reason: str


def choose_placement(device: str | None = None, dtype: str | None = None) -> Placement:
    """CUDA, then MPS, then CPU; bf16 where the processor is fast at it, else float32.

    device, dtype: override the choice ("cuda:1", "float32"). Raises UnknownDevice.
    """
    chosen = _device(device)
    fast, why = _bfloat16_is_fast(chosen)
    if dtype is not None:
        if dtype not in DTYPES:
            raise UnknownDevice(f"No precision '{dtype}'; choose one of: {', '.join(DTYPES)}.")
        return Placement(chosen, DTYPES[dtype], f"{chosen}, {dtype} as asked")
    name = "bfloat16" if fast else "float32"
    return Placement(chosen, DTYPES[name], f"{chosen}, {name}: {why}")


def _device(name: str | None) -> torch.device:
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UnknownDevice(
            f"The device '{name}' cannot be used here; choose cpu, cuda or mps, or leave it out."
        ) from error
    return device


def _bfloat16_is_fast(device: torch.device) -> tuple[bool, str]:
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
        return fast, "the GPU has bf16 units" if fast else "the GPU has no bf16 units"
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        if has.get("amx_bf16") or has.get("bf16"):
            return True, "the processor has bf16 instructions"
        if has.get("avx512_bf16"):
            # Without AMX, Intel's multiply matrices half as fast with these as in float32.
            slow = "Intel" in has["cpu_name"]
            return not slow, f"the processor's bf16 instructions are {'slow' if slow else 'fast'}"
        return False, "the processor has no bf16 instructions"
    return False, "bf16 is not known to be fast on this device"
