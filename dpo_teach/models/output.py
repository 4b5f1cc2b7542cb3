"""Compute vocabulary logits from hidden states in the same way as the model itself.

The output layer alone is not always enough: Cohere, Granite and nanochat scale the logits, Gemma 2 caps them, and BERT
has another layer before it. All of this happens in the `forward` of a causal language model, after the call of its
body.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["body_of", "output_layers"]

ALIGNMENT = 64
"""Tensor cores need rows of a multiple of 8 logits; 64 is the usual choice. GPT-2 has 50,257 tokens."""


def body_of(model: Any) -> nn.Module:
    """Return the body of a causal language model, which computes its hidden states.

    Raises:
        ValueError: the model has no attribute with a name that `transformers` uses for a body.
    """
    return getattr(model, _body_name(model))


def _body_name(model: Any) -> str:
    for name in (model.base_model_prefix, "model"):  # the prefix of Llama 4 and Mllama is not the name of the body
        if isinstance(getattr(model, name, None), nn.Module):
            return name
    raise ValueError(f"{type(model).__name__} is not supported: expected its body in model.{model.base_model_prefix} "
                     "or model.model, found none")  # fmt: skip


def output_layers(model: Any) -> Callable[[Float[Tensor, "tokens width"]], Float[Tensor, "tokens vocab"]]:
    """Return all that a causal language model computes after its body, as a function of hidden states.

    The function runs the model's own `forward` on a shallow copy, in which the body is replaced by a module that
    returns the given hidden states. The weights are shared, the model does not change, and its forward hooks are not
    called.

    Args:
        model: a `transformers` causal language model whose logits at a position depend only on the last hidden state of
            that position, and whose `forward` passes `inputs_embeds` to the body. `check_logits` tests both.

    Returns:
        A function from hidden states, one per row, to logits.
    """
    model = getattr(model, "_orig_mod", model)  # unwrap a model wrapped by torch.compile
    without_body = object.__new__(type(model))
    without_body.__dict__.update(model.__dict__)
    modules = {name: _align(module) for name, module in model._modules.items()}
    without_body.__dict__["_modules"] = {**modules, _body_name(model): _GivenStates(body_of(model))}
    return partial(_logits, partial(type(model).forward, without_body))


def _logits(forward: Callable[..., Any], states: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens vocab"]:
    # Each state is one row with one position: (tokens, width) -> (tokens, 1, width); the logits are squeezed again.
    return forward(inputs_embeds=states.unsqueeze(1), return_dict=True).logits.squeeze(1)


def _align(module: nn.Module) -> nn.Module:
    """Return a linear layer on a GPU with rows of zeros added to its weights; other modules are returned as they are.

    On an H100, the products with GPT-2's 50,257 tokens ran in kernels for unaligned rows: a third of a step's time.
    """
    if type(module) is not nn.Linear or not module.weight.is_cuda or module.out_features % ALIGNMENT == 0:
        return module
    return _AlignedLinear.of(module)


class _AlignedLinear(nn.Linear):
    """A linear layer that computes a multiple of `ALIGNMENT` outputs and returns those of the original layer."""

    @classmethod
    def of(cls, layer: nn.Linear) -> "_AlignedLinear":
        """Return an aligned copy of a layer; gradients reach the weights of the original."""
        extra = -layer.out_features % ALIGNMENT
        aligned = object.__new__(cls)
        aligned.__dict__.update(layer.__dict__)
        aligned.__dict__["_parameters"] = {
            "weight": F.pad(layer.weight, (0, 0, 0, extra)),
            "bias": None if layer.bias is None else F.pad(layer.bias, (0, extra)),
        }
        return aligned

    def forward(self, states: Tensor) -> Tensor:
        """Return the original layer's outputs."""
        return super().forward(states)[..., : self.out_features]


class _BodyOutput(NamedTuple):
    """The fields that causal language models read from the output of their body. All but the states are None."""

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
    """Replaces a model's body: returns the given embeddings as hidden states."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.__dict__["body"] = body  # in __dict__, so that it is not a submodule

    def __getattr__(self, name: str) -> Any:
        """Return attributes of the body, which some models read. Some models call its decoder instead of the body."""
        return self if name == "decoder" else getattr(self.__dict__["body"], name)

    def forward(self, *_: Any, inputs_embeds: Tensor | None = None, **__: Any) -> _BodyOutput:
        """Return the given states as the output of the body."""
        if inputs_embeds is None:
            raise ValueError(
                f"{type(self.__dict__['body']).__name__}: a causal language model with this body is not supported, "
                "because its forward does not pass inputs_embeds to the body"
            )
        return _BodyOutput(last_hidden_state=inputs_embeds)
