"""From text pairs to batches of token ids: tokenize, mask, pad.

The rules, each of which has gone wrong in public (see the tests):
- the prompt is tokenized once, by itself, and both responses follow those same ids;
- exactly one end-of-sequence token closes a whole response, and is trained on; a response that was cut has none;
- padding goes on the right, and masks are made from lengths, never from ids.

A batch is a rectangle with one text in each row (`TokenBatch`, what the notebooks show), or packed (`PackedBatch`, what
training uses). Both say where each response token is predicted, and that is all that the rest of the package asks.
"""

from dpo_teach.batches.collating import TokenBatch, collate, collate_pairs, split_pairs
from dpo_teach.batches.packing import PackedBatch, lay_out, lay_out_pairs, pack, pack_pairs
from dpo_teach.batches.token_table import TokenizedPair, TokenTable
from dpo_teach.batches.tokenizing import (
    Cuts,
    Overlong,
    TokenizedPairs,
    check_limits,
    fit_ids,
    fit_prompt,
    keep_fitting,
    tokenize_pair,
    tokenize_pairs,
    tokenize_prompt,
    tokenize_response,
)

__all__ = [
    "Cuts",
    "Overlong",
    "PackedBatch",
    "TokenBatch",
    "TokenTable",
    "TokenizedPair",
    "TokenizedPairs",
    "check_limits",
    "collate",
    "collate_pairs",
    "fit_ids",
    "fit_prompt",
    "keep_fitting",
    "lay_out",
    "lay_out_pairs",
    "pack",
    "pack_pairs",
    "split_pairs",
    "tokenize_pair",
    "tokenize_pairs",
    "tokenize_prompt",
    "tokenize_response",
]
