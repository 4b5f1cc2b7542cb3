"""Token ids of preference pairs: a single pair, and a data set stored as one flat array."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

__all__ = ["TokenizedDataset", "TokenizedPair"]


@dataclass(frozen=True)
class TokenizedPair:
    """A preference pair as token ids; both responses continue the same prompt."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]

    def __len__(self) -> int:
        """Tokens of the prompt and the longer response, which must fit into a model's context."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def tokens(self) -> int:
        """Tokens of the prompt and both responses, used to batch pairs by length."""
        return len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


class TokenizedDataset(Sequence[TokenizedPair]):
    """Tokenized pairs as one flat array of ids: prompt, chosen, rejected of the first pair, then of the next pair.

    The array is a memory-mapped temporary file that is deleted when the process ends. It takes 4 bytes per token on
    disk; Python tuples would take more than 8 bytes per token in memory.

    Args:
        pairs: the pairs; they are iterated over once.

    Attributes:
        ids: all token ids, int32.
        ends: where each prompt, chosen and rejected response ends in `ids`; three numbers per pair, int64.
    """

    ids: np.ndarray
    ends: np.ndarray

    def __init__(self, pairs: Iterable[TokenizedPair]):
        lengths: list[int] = []
        with tempfile.TemporaryFile(prefix="dpo_teach_tokens_") as file:  # stays mapped after it is closed
            for pair in pairs:
                for ids in (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids):
                    lengths.append(len(ids))
                    file.write(np.asarray(ids, dtype=np.int32).tobytes())
            file.flush()
            self.ids = np.memmap(file, dtype=np.int32, mode="r") if lengths else np.empty(0, dtype=np.int32)
        self.ends = np.cumsum(lengths, dtype=np.int64)

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of the prompt and both responses of each pair, used to batch pairs by length."""
        return np.diff(self.ends[2::3], prepend=0)

    def select(self, indices: Sequence[int]) -> "TokenizedDataset":
        """Return a data set of the pairs at `indices`, in that order."""
        return TokenizedDataset(self[i] for i in indices)

    def __len__(self) -> int:
        return len(self.ends) // 3

    @overload
    def __getitem__(self, index: int) -> TokenizedPair: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenizedPair]: ...
    def __getitem__(self, index: int | slice) -> TokenizedPair | list[TokenizedPair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        first = 3 * range(len(self))[index]  # IndexError if there is no such pair
        begin = self.ends[first - 1] if first else 0
        parts = np.split(self.ids[begin : self.ends[first + 2]], self.ends[first : first + 2] - begin)
        return TokenizedPair(*(tuple(part.tolist()) for part in parts))
