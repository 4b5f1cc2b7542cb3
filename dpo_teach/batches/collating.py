"""Padded batches of token ids: one sequence per row, padded on the right, with a mask over the response."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dpo_teach.batches.dataset import TokenizedPair

__all__ = ["TokenBatch", "collate", "collate_pairs", "split_pairs"]


@dataclass(frozen=True)
class TokenBatch:
    """A batch of sequences, padded on the right to equal length.

    `response_mask` is true exactly at the tokens of the response, including its end-of-sequence token.
    """

    input_ids: Int[Tensor, "batch time"]
    attention_mask: Int[Tensor, "batch time"]
    response_mask: Bool[Tensor, "batch time"]

    def __len__(self) -> int:
        """Number of responses."""
        return len(self.input_ids)

    def to(self, device: torch.device | str) -> "TokenBatch":
        """Return a copy of the batch on another device."""
        return TokenBatch(self.input_ids.to(device), self.attention_mask.to(device), self.response_mask.to(device))

    def model_inputs(self) -> dict[str, Tensor]:
        """Return the keyword arguments for the body of a `transformers` model.

        The padding is not masked: it is on the right, where no causal model looks. `transformers` drops a mask of ones,
        and PyTorch then uses its causal attention, which skips half of the computation.
        """
        return {"input_ids": self.input_ids, "attention_mask": torch.ones_like(self.input_ids)}

    @property
    def responses(self) -> Int[Tensor, " tokens"]:
        """The row of each response token, in row order."""
        return self.response_mask.nonzero()[:, 0]

    @property
    def targets(self) -> Int[Tensor, " tokens"]:
        """The response tokens, in row order."""
        return self.input_ids[self.response_mask]

    @property
    def sources(self) -> Int[Tensor, " tokens"]:
        """The position that predicts each response token (one to its left), as an index into the flattened rows."""
        return self.response_mask.flatten().nonzero()[:, 0] - 1

    @property
    def ends(self) -> Int[Tensor, " batch"]:
        """The position of each row's last token before the padding, as an index into the flattened rows."""
        batch, time = self.input_ids.shape
        starts = torch.arange(batch, device=self.input_ids.device) * time
        return starts + self.attention_mask.sum(dim=1) - 1


def collate(sequences: Iterable[tuple[Sequence[int], Sequence[int]]], pad_id: int) -> TokenBatch:
    """Put each (prompt ids, response ids) into one row, padded on the right.

    >>> batch = collate([([5, 6], [7, 1]), ([5], [8, 9, 9, 1])], pad_id=0)
    >>> batch.input_ids
    tensor([[5, 6, 7, 1, 0],
            [5, 8, 9, 9, 1]])
    >>> batch.response_mask.int()
    tensor([[0, 0, 1, 1, 0],
            [0, 1, 1, 1, 1]], dtype=torch.int32)
    """
    rows = [(tuple(prompt), tuple(response)) for prompt, response in sequences]
    if not rows:
        raise ValueError("sequences is empty: expected at least one sequence")
    time = max(len(prompt) + len(response) for prompt, response in rows)
    input_ids = torch.full((len(rows), time), pad_id)  # (batch, time)
    attention_mask = torch.zeros(len(rows), time, dtype=torch.long)  # (batch, time)
    response_mask = torch.zeros(len(rows), time, dtype=torch.bool)  # (batch, time)
    for row, (prompt, response) in enumerate(rows):
        end = len(prompt) + len(response)
        input_ids[row, :end] = torch.tensor(prompt + response)
        attention_mask[row, :end] = 1
        response_mask[row, len(prompt) : end] = True
    return TokenBatch(input_ids, attention_mask, response_mask)


def collate_pairs(pairs: Sequence[TokenizedPair], pad_id: int) -> TokenBatch:
    """Make one batch of 2 x pairs rows: all chosen responses, then all rejected responses in the same order."""
    chosen = [(pair.prompt_ids, pair.chosen_ids) for pair in pairs]
    rejected = [(pair.prompt_ids, pair.rejected_ids) for pair in pairs]
    return collate(chosen + rejected, pad_id)


def split_pairs(values: Tensor) -> tuple[Tensor, Tensor]:
    """Split values in the order of `collate_pairs` into those of the chosen and those of the rejected responses."""
    chosen, rejected = values.chunk(2)
    return chosen, rejected
