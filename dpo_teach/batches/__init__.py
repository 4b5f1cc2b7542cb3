"""From text pairs to batches of token ids: tokenize, mask, pad.

The rules, each of which has gone wrong in public (see the tests):
- the prompt is tokenized once, by itself, and both responses follow those same ids;
- exactly one end-of-sequence token closes a complete response, and is trained on; a truncated response has none;
- padding goes on the right, and masks are made from lengths, never from ids.

A batch is padded, with one text per row (`TokenBatch`, what the notebooks show), or packed (`PackedBatch`, what
training uses). Both give the position that predicts each response token, which is all that the rest of the package
needs.
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
