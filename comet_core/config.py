"""The sizes of a collaborative memory, and what they must satisfy.

Knows nothing of weights or files; a `CometConfig` is written into every checkpoint and is part of
the fingerprint a snapshot carries.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

NO_COMPRESSION = 1 << 30
"""A stride that no text reaches."""
LATER_SIZES = ("window_rows", "tail_window", "volume_chunks", "volumes")
"""Not in the published model; 0 is to do without."""
PROMPT_VERSION = 1
"""Raised whenever `comet_core.prompt` changes the tokens it makes: old snapshots then do not
match.
"""


@dataclass(frozen=True)
class CometConfig:
    """Sizes of the memory (paper section 3; symbols in brackets).

    Raises ValueError, naming the value received, for sizes that make no memory.
    """

    chunk_size: int = field(default=256, metadata={"help": "[c] text tokens a chunk"})
    stride: int = field(default=4, metadata={"help": "[s] text tokens a compression token"})
    global_rows: int = field(default=16, metadata={"help": "[m_G] rows of global memory a layer"})
    temporary_rows: int = field(default=64, metadata={"help": "[m_T] rows the FIFO holds at most"})
    adapter_rank: int = field(
        default=8, metadata={"help": "rank of the residual low-rank adapters"}
    )
    tail_tokens: int = field(
        default=0,
        metadata={"help": "text tokens at the end that are kept as they are, not read into memory"},
    )
    window_rows: int = field(
        default=0,
        metadata={"help": "rows of the FIFO that are seen at once, in reading and asking; 0: all"},
    )
    tail_window: int = field(
        default=0,
        metadata={"help": "text tokens of the tail that are seen at once in asking; 0: all"},
    )
    volume_chunks: int = field(
        default=0,
        metadata={"help": "chunks that one global memory reads before the next begins; 0: all"},
    )
    volumes: int = field(
        default=0,
        metadata={"help": "global memories of earlier volumes that are kept at most"},
    )
    prompt_version: int = PROMPT_VERSION

    def __post_init__(self) -> None:
        for name in ("chunk_size", "stride", "global_rows", "adapter_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("temporary_rows", "tail_tokens", *LATER_SIZES):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("stride", "tail_window"):
            if (size := getattr(self, name)) > self.chunk_size:
                raise ValueError(f"{name} must not exceed chunk_size={self.chunk_size}, got {size}")
        if self.tail_window and not self.tail_tokens:
            raise ValueError("a tail that is seen in windows has to be held: set tail_tokens")
        if bool(self.volume_chunks) != bool(self.volumes):
            raise ValueError("a text in volumes needs both: volume_chunks and volumes")

    @property
    def seen_rows(self) -> int:
        """Memory rows that are seen at once."""
        return self.global_rows + min(self.temporary_rows, self.window_rows or self.temporary_rows)

    @property
    def answering_size(self) -> int:
        """Text tokens a chunk that is answered from holds at most: those of the longest tail, and a
        quarter of a chunk for a question and its answer.
        """
        return self.tail_tokens + self.chunk_size + self.chunk_size // 4

    @property
    def answering_stride(self) -> int:
        """Text tokens a compression token of a chunk that is answered from: `stride`, as published,
        but none where a tail is held. What is answered from is never carried on, and a long tail
        takes a fifth less time and rows without them.
        """
        return NO_COMPRESSION if self.tail_tokens else self.stride

    def chunks_of(self, tokens: int) -> int:
        """Chunks that are read of a text of so many tokens; the rest is the tail."""
        return max(0, tokens - self.tail_tokens) // self.chunk_size

    def begins_volume(self, chunk: int) -> bool:
        """Whether a chunk, counted from 0, begins another volume; the last one is for all that
        follows.
        """
        if not self.volume_chunks or chunk % self.volume_chunks:
            return False
        return 0 < chunk // self.volume_chunks <= self.volumes

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for JSON. No windows or volumes where there are none: such a
        model is the one it was before they were known, and so are its snapshots.
        """
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if value or name not in LATER_SIZES}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CometConfig:
        """The inverse of `to_dict`; unknown fields raise TypeError."""
        return cls(**values)
