"""From text pairs to batches of token ids: tokenize, mask, pad.

The rules (each of them has been violated in public code, see the tests):
- the prompt is tokenized once, on its own, and both responses follow the same prompt ids;
- a complete response ends with exactly one end-of-sequence token, which is part of the loss; a truncated response has
  none;
- padding is on the right, and masks are computed from lengths, never from ids.

A batch is either padded, with one text per row (`TokenBatch`, shown in the notebooks), or packed (`PackedBatch`, used
for training). Both provide the position that predicts each response token, which is all that other modules need.
"""

from dpo_teach.batches.collating import TokenBatch, collate, collate_pairs, split_pairs
from dpo_teach.batches.dataset import TokenizedDataset, TokenizedPair
from dpo_teach.batches.packing import PackedBatch, lay_out, lay_out_pairs, pack, pack_pairs
from dpo_teach.batches.tokenizing import (
    Overlong,
    TokenizedPairs,
    TruncationStats,
    check_limits,
    tokenize_pair,
    tokenize_pairs,
    tokenize_prompt,
    tokenize_response,
    truncate_each,
    truncate_prompt,
)

__all__ = [
    "Overlong",
    "PackedBatch",
    "TokenBatch",
    "TokenizedDataset",
    "TokenizedPair",
    "TokenizedPairs",
    "TruncationStats",
    "check_limits",
    "collate",
    "collate_pairs",
    "lay_out",
    "lay_out_pairs",
    "pack",
    "pack_pairs",
    "split_pairs",
    "tokenize_pair",
    "tokenize_pairs",
    "tokenize_prompt",
    "tokenize_response",
    "truncate_each",
    "truncate_prompt",
]
