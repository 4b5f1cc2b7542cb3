"""Token ids of many pairs in one file: what training reads from, whatever the number of pairs."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

__all__ = ["TokenTable", "TokenizedPair"]


@dataclass(frozen=True)
class TokenizedPair:
    """A preference pair as token ids; both responses continue the same prompt."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]

    def __len__(self) -> int:
        """Tokens of prompt and longer response together: what must fit into a model's context."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def tokens(self) -> int:
        """Tokens of prompt and both responses together: what bucketing by length sorts by."""
        return len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


class TokenTable(Sequence[TokenizedPair]):
    """Tokenized pairs, written once to a temporary file that is mapped into memory and gone with the process.

    A Python tuple takes more than eight bytes for each token, and this takes four on the disk: of 100,000 pairs of 50
    tokens 20 MB, of which the system holds what is being looked at. What is held is where each text ends.

    Args:
        pairs: are gone through once.
    """

    def __init__(self, pairs: Iterable[TokenizedPair]):
        lengths: list[int] = []
        with tempfile.TemporaryFile(prefix="dpo_teach_tokens_") as file:  # what is mapped outlives its name
            for pair in pairs:
                texts = (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)
                lengths += map(len, texts)
                for text in texts:
                    file.write(np.asarray(text, dtype=np.int32).tobytes())
            file.flush()
            self._ids = np.memmap(file, dtype=np.int32, mode="r") if lengths else np.empty(0, dtype=np.int32)
        self._ends = np.cumsum(lengths, dtype=np.int64)

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of prompt and both responses of each pair: what bucketing by length sorts by."""
        return np.diff(self._ends[2::3], prepend=0)

    @property
    def ids(self) -> np.ndarray:
        """All token ids, pair after pair: prompt, chosen, rejected."""
        return self._ids

    @property
    def ends(self) -> np.ndarray:
        """Where each of those three ends, counted in tokens from the beginning of the table."""
        return self._ends

    def select(self, indices: Sequence[int]) -> "SomePairs":
        """Some of the pairs, by their places; nothing is copied."""
        return SomePairs(self, indices)

    def __len__(self) -> int:
        return len(self._ends) // 3

    @overload
    def __getitem__(self, index: int) -> TokenizedPair: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenizedPair]: ...
    def __getitem__(self, index: int | slice) -> TokenizedPair | list[TokenizedPair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        first = 3 * range(len(self))[index]  # an IndexError where there is no such pair
        begin = int(self._ends[first - 1]) if first else 0
        texts = np.split(self._ids[begin : self._ends[first + 2]], self._ends[first : first + 2] - begin)
        return TokenizedPair(*(tuple(text.tolist()) for text in texts))


@dataclass(frozen=True)
class SomePairs(Sequence[TokenizedPair]):
    """Some rows of a table, in an order of their own."""

    table: TokenTable
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> TokenizedPair: ...
    @overload
    def __getitem__(self, index: slice) -> "SomePairs": ...
    def __getitem__(self, index: int | slice) -> "TokenizedPair | SomePairs":
        if isinstance(index, slice):
            return SomePairs(self.table, self.indices[index])
        return self.table[self.indices[index]]
