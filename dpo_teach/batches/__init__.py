"""From text pairs to batches of token ids: tokenize, mask, pad.

The rules (each of them has been violated in public code, see the tests):
- the prompt is tokenized once, and both responses follow the same prompt ids;
- conversations are rendered by the tokenizer's chat template, if it has one;
- a prompt has one beginning-of-sequence token in front, if the tokenizer or the chat template puts one there;
- a complete response ends with exactly one end-of-sequence token, which is part of the loss; a truncated response has
  none;
- padding is on the right, and masks are computed from lengths, never from ids.

A batch is either padded, with one text per row (`TokenBatch`, shown in the notebooks), or packed (`PackedBatch`, used
for training). Both provide the position that predicts each response token, which is all that other modules need.
"""

from dpo_teach.batches.chat import has_chat_template, render_chat, unwrap
from dpo_teach.batches.collating import TokenBatch, collate, collate_pairs, split_pairs
from dpo_teach.batches.dataset import TokenizedDataset, TokenizedPair
from dpo_teach.batches.fitting import (
    Overlong,
    TruncationStats,
    check_limits,
    fit_pair,
    truncate_each,
    truncate_prompt,
)
from dpo_teach.batches.packing import PackedBatch, lay_out, lay_out_pairs, pack, pack_pairs
from dpo_teach.batches.special_tokens import check_tokens
from dpo_teach.batches.tokenizing import (
    TokenizedPairs,
    tokenize_example,
    tokenize_pair,
    tokenize_pairs,
    tokenize_prompt,
    tokenize_response,
    tokenize_whole,
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
    "check_tokens",
    "collate",
    "collate_pairs",
    "fit_pair",
    "has_chat_template",
    "lay_out",
    "lay_out_pairs",
    "pack",
    "pack_pairs",
    "render_chat",
    "split_pairs",
    "tokenize_example",
    "tokenize_pair",
    "tokenize_pairs",
    "tokenize_prompt",
    "tokenize_response",
    "tokenize_whole",
    "truncate_each",
    "truncate_prompt",
    "unwrap",
]
