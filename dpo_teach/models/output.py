"""From hidden states to vocabulary logits, as the model itself computes them.

The output layer is not always the whole way: Cohere, Granite and nanochat scale the logits, Gemma 2 caps them, BERT has
another layer before it. All of that stands in the `forward` of a causal language model, after the call of its body.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["body_of", "output_layers"]


def body_of(model: Any) -> nn.Module:
    """The body of a causal language model, which computes the hidden states that the logits come from.

    Raises:
        ValueError: the model has none of the names that `transformers` gives a body.
    """
    return getattr(model, _body_name(model))


def _body_name(model: Any) -> str:
    for name in (model.base_model_prefix, "model"):  # Llama 4 and Mllama have another prefix than their body's name
        if isinstance(getattr(model, name, None), nn.Module):
            return name
    raise ValueError(f"{type(model).__name__} is not supported: its body is neither model.{model.base_model_prefix} "
                     "nor model.model")  # fmt: skip


def output_layers(model: Any) -> Callable[[Float[Tensor, "tokens width"]], Float[Tensor, "tokens vocab"]]:
    """Everything that a causal language model computes after its body, as a function of hidden states.

    It is the model's own `forward`, run on a shallow copy in which the body is replaced by a module that returns the
    hidden states it is given. Weights are shared, the model stays as it is, and its forward hooks are not called.

    Args:
        model: a `transformers` causal language model whose logits at a position depend on the last hidden state of
            that position alone, and whose `forward` passes `inputs_embeds` on to the body (`check_logits`).

    Returns:
        A function from hidden states, one per row, to logits.
    """
    model = getattr(model, "_orig_mod", model)  # inside a module that torch.compile has wrapped
    without_body = object.__new__(type(model))
    without_body.__dict__.update(model.__dict__)
    without_body.__dict__["_modules"] = {**model._modules, _body_name(model): _GivenStates(body_of(model))}
    return partial(_logits, partial(type(model).forward, without_body))


def _logits(forward: Callable[..., Any], states: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens vocab"]:
    # Each state is a row with one position: (tokens, width) -> (tokens, 1, width), and the logits back again.
    return forward(inputs_embeds=states.unsqueeze(1), return_dict=True).logits.squeeze(1)


class _BodyOutput(NamedTuple):
    """The fields that causal language models read from what their body returns; here all but the states are None."""

    last_hidden_state: Tensor
    past_key_values: None = None
    hidden_states: None = None
    attentions: None = None
    cross_attentions: None = None
    router_logits: None = None
    image_hidden_states: None = None
    audio_hidden_states: None = None
    cache_params: None = None
    state: None = None
    mems: None = None
    past_buckets_states: None = None
    shared_kv_states: None = None


class _GivenStates(nn.Module):
    """Stands in for a model's body: returns as hidden states the embeddings that it is given."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.__dict__["body"] = body  # not as a submodule

    def __getattr__(self, name: str) -> Any:
        """The body's attributes, which some models read; its decoder is called by some in its place."""
        return self if name == "decoder" else getattr(self.__dict__["body"], name)

    def forward(self, *_: Any, inputs_embeds: Tensor | None = None, **__: Any) -> _BodyOutput:
        """The given states, as the body's output."""
        if inputs_embeds is None:
            raise ValueError(
                f"{type(self.__dict__['body']).__name__}: a causal language model with this body is not supported, "
                "since its forward does not pass inputs_embeds on"
            )
        return _BodyOutput(last_hidden_state=inputs_embeds)
