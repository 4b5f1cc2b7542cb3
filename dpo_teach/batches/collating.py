"""From token ids to batches: rectangles, padded on the right, with a mask over the response."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dpo_teach.batches.token_table import TokenizedPair

__all__ = ["TokenBatch", "collate", "collate_pairs", "split_pairs"]


@dataclass(frozen=True)
class TokenBatch:
    """Sequences of one length, padded on the right.

    `response_mask` is true at the tokens of the response, its end-of-sequence token included, and nowhere else.
    """

    input_ids: Int[Tensor, "batch time"]
    attention_mask: Int[Tensor, "batch time"]
    response_mask: Bool[Tensor, "batch time"]

    def __len__(self) -> int:
        """How many responses there are."""
        return len(self.input_ids)

    def to(self, device: torch.device | str) -> "TokenBatch":
        """The same batch on another device."""
        return TokenBatch(self.input_ids.to(device), self.attention_mask.to(device), self.response_mask.to(device))

    def model_inputs(self) -> dict[str, Tensor]:
        """What the body of a `transformers` model is called with.

        Padding is on the right, where no causal model looks from a token, so nothing need be masked. Without a mask
        PyTorch's attention is causal by itself and skips half of the work; a mask with zeros would have to be read.
        """
        return {"input_ids": self.input_ids, "attention_mask": torch.ones_like(self.input_ids)}

    @property
    def responses(self) -> Int[Tensor, " tokens"]:
        """Which row each response token is in, row after row."""
        return self.response_mask.nonzero()[:, 0]

    @property
    def targets(self) -> Int[Tensor, " tokens"]:
        """The response tokens."""
        return self.input_ids[self.response_mask]

    @property
    def sources(self) -> Int[Tensor, " tokens"]:
        """Where each of them is predicted, one place to its left, as an index into the flattened rows."""
        return self.response_mask.flatten().nonzero()[:, 0] - 1

    @property
    def ends(self) -> Int[Tensor, " batch"]:
        """Where each row's last token that is not padding is, as an index into the flattened rows."""
        columns = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        starts = torch.arange(len(self), device=self.input_ids.device) * self.input_ids.shape[1]
        return starts + (self.attention_mask * columns).argmax(dim=1)


def collate(sequences: Iterable[tuple[Sequence[int], Sequence[int]]], pad_id: int) -> TokenBatch:
    """Lay (prompt ids, response ids) side by side in one rectangle, padded on the right.

    >>> batch = collate([([5, 6], [7, 1]), ([5], [8, 9, 9, 1])], pad_id=0)
    >>> batch.input_ids
    tensor([[5, 6, 7, 1, 0],
            [5, 8, 9, 9, 1]])
    >>> batch.response_mask.int()
    tensor([[0, 0, 1, 1, 0],
            [0, 1, 1, 1, 1]], dtype=torch.int32)
    """
    rows = [(list(prompt), list(response)) for prompt, response in sequences]
    if not rows:
        raise ValueError("sequences is empty: a batch needs at least one")
    longest = max(len(prompt) + len(response) for prompt, response in rows)

    def lay_out(of_prompt: Callable[[list[int]], list[int]], of_response: Callable[[list[int]], list[int]],
                filler: int) -> Tensor:  # fmt: skip
        laid = [of_prompt(prompt) + of_response(response) for prompt, response in rows]
        return torch.tensor([row + [filler] * (longest - len(row)) for row in laid])

    def ones(ids: list[int]) -> list[int]:
        return [1] * len(ids)

    def zeros(ids: list[int]) -> list[int]:
        return [0] * len(ids)

    return TokenBatch(
        input_ids=lay_out(list, list, pad_id),
        attention_mask=lay_out(ones, ones, 0),
        response_mask=lay_out(zeros, ones, 0).bool(),
    )


def collate_pairs(pairs: Sequence[TokenizedPair], pad_id: int) -> TokenBatch:
    """One batch of 2 x pairs rows: all the chosen responses, then all the rejected ones, in the same order."""
    chosen = [(pair.prompt_ids, pair.chosen_ids) for pair in pairs]
    rejected = [(pair.prompt_ids, pair.rejected_ids) for pair in pairs]
    return collate(chosen + rejected, pad_id)


def split_pairs(values: Tensor) -> tuple[Tensor, Tensor]:
    """Undo the stacking of `collate_pairs`: (values of the chosen responses, values of the rejected ones)."""
    chosen, rejected = values.chunk(2)
    return chosen, rejected
