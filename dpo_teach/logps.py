"""log P(response | prompt): the textbook form, and the memory-saving form that training uses.

Both forms sum the log-probabilities of the response's tokens, in nats. DPO is derived for the probability of a whole
response, which is a product over its tokens. A mean over tokens would replace β by β / length, which is a different
objective.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from dpo_teach.batches import PackedBatch, TokenBatch, TokenizedPair, collate_pairs, lay_out_pairs, split_pairs
from dpo_teach.models import body_of, output_layers, takes_packed
from dpo_teach.progress_bar import progress_bar

__all__ = [
    "ResponseLogps",
    "hidden_states",
    "pair_logps",
    "pair_token_logps",
    "predicting_states",
    "response_logits",
    "response_logps",
    "response_token_logps",
    "sequence_logps",
    "shifted_logps",
]


LOGITS_AT_ONCE = 2**27
"""Maximum number of vocabulary logits in memory at once: half a gigabyte in float32."""

ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""PyTorch's implementations of attention without cuDNN's, which on an H100 takes 140 ms to prepare each new shape of
batch, more than a training step of GPT-2."""


def sequence_logps(
    logits: Float[Tensor, "batch time vocab"],
    input_ids: Int[Tensor, "batch time"],
    response_mask: Bool[Tensor, "batch time"],
) -> Float[Tensor, " batch"]:
    """Summed log-probability of each response, computed from a model's logits (the textbook form).

        log π(y|x) = Σ_t log softmax(logits[t-1])[y_t],   t over the response's tokens

    The logits at position t-1 predict the token at position t, hence the shift. The softmax is always computed in
    float32, whatever the precision of the logits.

    Args:
        logits: the model's logits at each position.
        input_ids: the token ids.
        response_mask: true at the tokens of the response.

    Returns:
        One logp per row, nats.

    Raises:
        ValueError: the shapes differ, a row has no response token, or a response starts at position 0, which no
            token predicts.

    >>> logits = torch.zeros(1, 3, 4)  # a vocabulary of four equally likely tokens
    >>> ids, mask = torch.tensor([[0, 1, 2]]), torch.tensor([[False, True, True]])
    >>> sequence_logps(logits, ids, mask)  # 2 ln(1/4)
    tensor([-2.7726])
    """
    token_logps = shifted_logps(logits, input_ids)
    _check_mask(input_ids, response_mask)
    return (token_logps * response_mask[:, 1:]).sum(dim=1)


def shifted_logps(
    logits: Float[Tensor, "batch time vocab"], input_ids: Int[Tensor, "batch time"]
) -> Float[Tensor, "batch time-1"]:
    """log π(token | all earlier tokens), nats, for every token except the first: shift, log-softmax, gather."""
    if logits.shape[:2] != input_ids.shape:
        raise ValueError(
            f"logits has shape {tuple(logits.shape)}, but input_ids has shape {tuple(input_ids.shape)}: "
            "their first two dimensions must match"
        )
    predictions = F.log_softmax(logits[:, :-1].float(), dim=-1)
    targets = input_ids[:, 1:]
    return predictions.gather(dim=-1, index=targets.unsqueeze(-1)).squeeze(-1)


def response_logps(model: Any, batch: TokenBatch | PackedBatch) -> Float[Tensor, " batch"]:
    """Summed log-probability of each response under a causal language model (the memory-saving form).

    The result and its gradient equal those of `sequence_logps(model(...).logits, ...)`, but vocabulary logits are
    computed only at the positions that predict a response token. For short responses to long prompts, this is a small
    part of the batch. The model itself computes these logits, including any scaling or capping.

    Args:
        model: a `transformers` causal language model that `output_layers` supports.
        batch: the sequences, one per row or packed.

    Returns:
        One logp per response, nats.

    Raises:
        ValueError: a row has no response token, or a response starts at position 0.
    """
    token_logps, responses = response_token_logps(model, batch)
    sums = torch.zeros(len(batch), dtype=token_logps.dtype, device=token_logps.device)
    return sums.index_add(0, responses, token_logps)


def response_token_logps(
    model: Any, batch: TokenBatch | PackedBatch
) -> tuple[Float[Tensor, " tokens"], Int[Tensor, " tokens"]]:
    """log π of every response token of the batch, in the order of the responses, and each token's response index.

    With a large vocabulary, the logits would take more memory than everything else. If there are more than
    `LOGITS_AT_ONCE`, they are computed in parts. Each part is discarded and recomputed for its gradient.
    """
    to_logits = output_layers(model)
    hidden = predicting_states(model, batch)  # (tokens, width)
    size = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    if len(hidden) <= size:
        return _token_logps(to_logits, hidden, batch.targets), batch.responses
    parts = zip(hidden.split(size), batch.targets.split(size), strict=True)
    logps = [checkpoint(_token_logps, to_logits, *part, use_reentrant=False) for part in parts]
    return torch.cat(logps), batch.responses


def response_logits(
    model: Any, batch: TokenBatch | PackedBatch
) -> tuple[Float[Tensor, "tokens vocab"], Int[Tensor, " tokens"]]:
    """Vocabulary logits (float32) at the positions that predict a response token, and the tokens themselves."""
    return output_layers(model)(predicting_states(model, batch)).float(), batch.targets


def predicting_states(model: Any, batch: TokenBatch | PackedBatch) -> Float[Tensor, "tokens width"]:
    """The last hidden states at the positions that predict a response token, in the order of the responses."""
    if isinstance(batch, TokenBatch):
        _check_mask(batch.input_ids, batch.response_mask)
    return hidden_states(body_of(model), batch).index_select(0, batch.sources)


def _token_logps(
    to_logits: Callable[[Tensor], Tensor], hidden: Float[Tensor, "tokens width"], targets: Int[Tensor, " tokens"]
) -> Float[Tensor, " tokens"]:
    return -F.cross_entropy(to_logits(hidden).float(), targets, reduction="none")


def hidden_states(body: Any, batch: TokenBatch | PackedBatch) -> Float[Tensor, "positions width"]:
    """The last hidden state at every position of a batch, with the rows concatenated."""
    with sdpa_kernel(ATTENTION):
        return body(**batch.model_inputs(), use_cache=False)[0].flatten(0, 1)


@torch.no_grad()
def pair_logps(
    model: Any,
    pairs: Sequence[TokenizedPair],
    pad_id: int,
    *,
    batch_size: int = 32,
    packed: bool = True,
    progress: bool = False,
) -> Float[Tensor, "pairs 2"]:
    """log π of both responses of every pair, without gradients. Used to precompute the reference logps.

    Args:
        model: a causal language model; it is in eval mode during the call.
        pairs: token ids.
        pad_id: the padding token.
        batch_size: pairs in one forward pass; each batch holds pairs of similar length.
        packed: compute each prompt once for both responses, if the model is known to support this.
        progress: show a progress bar, in pairs.

    Returns:
        Chosen and rejected logps, nats, on the CPU, in the order of `pairs`.
    """
    logps = torch.empty(len(pairs), 2)
    packed = packed and takes_packed(model)
    by_length = sorted(range(len(pairs)), key=lambda i: pairs[i].tokens)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with progress_bar("log-probabilities", requested=progress and bool(pairs), total=len(pairs), unit="pair") as bar:
        for start in range(0, len(by_length), batch_size):
            indices = by_length[start : start + batch_size]
            batch = lay_out_pairs([pairs[i] for i in indices], pad_id, packed=packed).to(device)
            logps[indices] = torch.stack(split_pairs(response_logps(model, batch)), dim=1).cpu()
            bar.update(len(indices))
    model.train(was_training)
    return logps


@torch.no_grad()
def pair_token_logps(
    model: Any, pair: TokenizedPair, pad_id: int
) -> tuple[Float[Tensor, " chosen"], Float[Tensor, " rejected"]]:
    """log π of every token of a pair's two responses, nats. `pair_logps` returns their sums.

    Args:
        model: a causal language model, in eval mode.
        pair: token ids.
        pad_id: the padding token.

    Returns:
        One logp per token of the chosen response, and one per token of the rejected response.
    """
    device = next(model.parameters()).device
    token_logps, rows = response_token_logps(model, collate_pairs([pair], pad_id).to(device))
    return token_logps[rows == 0].cpu(), token_logps[rows == 1].cpu()


class ResponseLogps(nn.Module):
    """`response_logps` as a module, so that accelerate can wrap it (autocast, distributed gradients)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, batch: TokenBatch | PackedBatch) -> Tensor:
        """One logp per response, nats."""
        return response_logps(self.model, batch)


def _check_mask(input_ids: Tensor, response_mask: Tensor) -> None:
    if response_mask.shape != input_ids.shape:
        raise ValueError(
            f"response_mask has shape {tuple(response_mask.shape)}, but input_ids has shape "
            f"{tuple(input_ids.shape)}: the shapes must match"
        )
    if response_mask[:, 0].any():
        raise ValueError(
            "response_mask is true at position 0, which no token predicts: a prompt needs at least one token"
        )
    empty = (~response_mask.any(dim=1)).nonzero()
    if len(empty):
        raise ValueError(f"response_mask has no response token in row {int(empty[0])}: expected at least one")
