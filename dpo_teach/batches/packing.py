"""Packed batches of token ids: each prompt once for all its responses, and several texts in one row.

A causal transformer's computation for a prompt does not depend on the tokens that follow. Several texts can also share
a row, as long as they cannot attend to each other. An attention mask and position ids that restart for each text ensure
both. Texts of different lengths then need hardly any padding. Up to rounding, the results equal those of `collate`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dpo_teach.batches.collating import TokenBatch, collate, collate_pairs
from dpo_teach.batches.dataset import TokenizedPair

__all__ = ["PackedBatch", "lay_out", "lay_out_pairs", "pack", "pack_pairs"]

NO_SEGMENT = -1
WIDTHS = (1, 1.25, 1.5)  # widths of rows to try, relative to the longest item
ATTENTION_DOUBLES = 768  # row width at which attention costs about as much as the rest of the model
Ids = Sequence[int]


@dataclass(frozen=True)
class PackedBatch:
    """Several texts per row. A token attends to earlier tokens in its own segment and in the prompt of that segment.

    Args:
        input_ids: the token ids.
        position_ids: position of each token in its own text; every response continues the positions of its prompt.
        segments: index of the prompt or response that each token belongs to; -1 for padding.
        prompts: index of the prompt segment of each token; for a prompt token, its own segment.
        sources: position that predicts each response token, as an index into the flattened rows.
        targets: the response tokens.
        responses: index of the response that each response token belongs to.
        ends: position of the last token of each response, as an index into the flattened rows.
    """

    input_ids: Int[Tensor, "rows time"]
    position_ids: Int[Tensor, "rows time"]
    segments: Int[Tensor, "rows time"]
    prompts: Int[Tensor, "rows time"]
    sources: Int[Tensor, " tokens"]
    targets: Int[Tensor, " tokens"]
    responses: Int[Tensor, " tokens"]
    ends: Int[Tensor, " responses"]

    def __len__(self) -> int:
        """Number of responses."""
        return len(self.ends)

    def to(self, device: torch.device | str) -> "PackedBatch":
        """Return a copy of the batch on another device."""
        return PackedBatch(*(getattr(self, field.name).to(device) for field in fields(self)))

    def model_inputs(self) -> dict[str, Tensor]:
        """Return the keyword arguments for the body of a `transformers` model."""
        return {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "attention_mask": self.visible().unsqueeze(1),
        }

    def visible(self) -> Bool[Tensor, "rows time time"]:
        """Mask of the tokens (last dimension) each token sees. Padding sees padding, so that no softmax is empty."""
        own = self.segments[:, :, None] == self.segments[:, None, :]
        of_prompt = self.prompts[:, :, None] == self.segments[:, None, :]
        return (own | of_prompt).tril()


def lay_out(sequences: Iterable[tuple[Ids, Ids]], pad_id: int, *, packed: bool) -> "TokenBatch | PackedBatch":
    """Put (prompt ids, response ids) into a packed batch or a padded one (`collate`)."""
    if packed:
        return pack([(prompt, (response,)) for prompt, response in sequences], pad_id)
    return collate(sequences, pad_id)


def lay_out_pairs(pairs: Sequence[TokenizedPair], pad_id: int, *, packed: bool) -> "TokenBatch | PackedBatch":
    """Put pairs into a packed batch or a padded one (`collate_pairs`). In both, the chosen responses come first."""
    return pack_pairs(pairs, pad_id) if packed else collate_pairs(pairs, pad_id)


def pack_pairs(pairs: Sequence[TokenizedPair], pad_id: int) -> PackedBatch:
    """Pack pairs into 2 x pairs responses: all chosen, then all rejected, as `split_pairs` expects."""
    batch = pack([(pair.prompt_ids, (pair.chosen_ids, pair.rejected_ids)) for pair in pairs], pad_id)
    order = batch.responses % 2 * len(pairs) + batch.responses // 2
    ends = torch.cat([batch.ends[0::2], batch.ends[1::2]])
    return replace(batch, responses=order, ends=ends)


def pack(items: Sequence[tuple[Ids, Sequence[Ids]]], pad_id: int) -> PackedBatch:
    """Pack items (prompt ids, ids of its responses) into rows with little padding.

    Args:
        items: prompts of at least one token, each with one or more responses.
        pad_id: the padding token.

    Returns:
        The batch, with responses numbered in the order of the items.

    Raises:
        ValueError: items is empty.

    >>> batch = pack([([5, 6], [[7, 1], [8, 1]]), ([5], [[9, 1]]), ([6], [[9, 1]])], pad_id=0)
    >>> batch.input_ids
    tensor([[5, 6, 7, 1, 8, 1],
            [5, 9, 1, 6, 9, 1]])
    >>> batch.position_ids
    tensor([[0, 1, 2, 3, 2, 3],
            [0, 1, 2, 0, 1, 2]])
    """
    if not items:
        raise ValueError("items is empty: expected at least one item")
    lengths = [len(prompt) + sum(map(len, responses)) for prompt, responses in items]
    width, rows = _cheapest_rows(lengths)
    writer = _Writer(width=width, height=len(rows), pad_id=pad_id)
    firsts = [0]
    for _, responses in items:
        firsts.append(firsts[-1] + len(responses))
    for row, members in enumerate(rows):
        column = 0
        for item in members:
            writer.write(row, column, *items[item], first_response=firsts[item])
            column += lengths[item]
    return writer.batch(responses=firsts[-1])


def _cheapest_rows(lengths: Sequence[int]) -> tuple[int, list[list[int]]]:
    """The best row width and the items of each row. Longer rows have less padding, but more costly attention."""
    widths = sorted({math.ceil(max(lengths) * factor) for factor in WIDTHS})
    filled = [(width, _fill_rows(lengths, width)) for width in widths]
    return min(filled, key=lambda one: len(one[1]) * one[0] * (1 + one[0] / ATTENTION_DOUBLES))


def _fill_rows(lengths: Sequence[int], width: int) -> list[list[int]]:
    """First-fit decreasing: from longest to shortest, put each item into the first row with enough space."""
    rows: list[list[int]] = []
    free: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((row for row, space in enumerate(free) if space >= lengths[item]), len(rows))
        if row == len(rows):
            rows.append([])
            free.append(width)
        rows[row].append(item)
        free[row] -= lengths[item]
    return rows


class _Writer:
    """Collects the rows of a batch."""

    def __init__(self, *, width: int, height: int, pad_id: int):
        self.width, self.segment = width, 0
        self.input_ids, self.position_ids, self.segments, self.prompts = (
            np.full((height, width), filler, dtype=np.int64) for filler in (pad_id, 0, NO_SEGMENT, NO_SEGMENT)
        )
        self.sources: dict[int, np.ndarray] = {}  # by response
        self.targets: dict[int, Ids] = {}
        self.ends: dict[int, int] = {}

    def write(self, row: int, column: int, prompt: Ids, responses: Sequence[Ids], *, first_response: int) -> None:
        """Write a prompt and its responses into a row."""
        prompt_segment = self.segment
        self._write_segment(row, column, prompt, position=0, prompt=prompt_segment)
        column += len(prompt)
        before = row * self.width + column - 1  # the prompt's last token predicts the first token of every response
        for number, response in enumerate(responses, start=first_response):
            self._write_segment(row, column, response, position=len(prompt), prompt=prompt_segment)
            here = row * self.width + column
            self.sources[number] = np.concatenate(([before], np.arange(here, here + len(response) - 1)))
            self.targets[number], self.ends[number] = response, here + len(response) - 1
            column += len(response)

    def _write_segment(self, row: int, column: int, ids: Ids, *, position: int, prompt: int) -> None:
        where = slice(column, column + len(ids))
        self.input_ids[row, where] = ids
        self.position_ids[row, where] = np.arange(position, position + len(ids))
        self.segments[row, where] = self.segment
        self.prompts[row, where] = prompt
        self.segment += 1

    def batch(self, *, responses: int) -> PackedBatch:
        """Return the batch, with the response tokens in the order of the responses."""
        order = range(responses)
        lengths = [len(self.targets[number]) for number in order]
        sources = np.concatenate([self.sources[number] for number in order])
        return PackedBatch(
            input_ids=torch.from_numpy(self.input_ids),
            position_ids=torch.from_numpy(self.position_ids),
            segments=torch.from_numpy(self.segments),
            prompts=torch.from_numpy(self.prompts),
            sources=torch.from_numpy(sources),
            targets=torch.from_numpy(np.concatenate([self.targets[number] for number in order])),
            responses=torch.from_numpy(np.repeat(np.arange(responses), lengths)),
            ends=torch.tensor([self.ends[number] for number in order]),
        )
