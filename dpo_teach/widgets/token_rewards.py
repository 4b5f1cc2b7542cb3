"""A pair as coloured text: which tokens contribute to its implicit rewards."""

from collections.abc import Sequence
from typing import Any

import torch
import traitlets
from jaxtyping import Float
from torch import Tensor

from dpo_teach.batches import TokenizedPair, tokenize_pair
from dpo_teach.losses import compute_implicit_reward
from dpo_teach.models import context_length
from dpo_teach.pairs import PreferencePair
from dpo_teach.widgets.explorer import Choice, Explorer, Number
from dpo_teach.widgets.token_scores import ScoredResponse, score_responses

__all__ = ["RESPONSES", "VIEWS", "TokenRewards"]

RESPONSES = ("chosen", "rejected")
VIEWS = ("each token", "summed so far")


class TokenRewards(Explorer, module="token_rewards", render="tokenRewards", styles=("tokens",)):
    """A pair as text, each token coloured by its share of the implicit reward.

        r̂(x, y) = Σ_t β (log π(y_t | x, y_<t) - log π_ref(y_t | x, y_<t))

    The log-probabilities of a pair are computed when it is first shown, and then cached: after more training, create a
    new panel. The browser multiplies by β.

    Args:
        policy, reference: causal language models that share the tokenizer.
        tokenizer: their tokenizer.
        pairs: the pairs to look at.
        pair: the number of the pair to show, counted from 1.
        beta: 0.001 to 10.
        view: "each token" for the token's own share, "summed so far" for the sum of the shares up to it.
        max_prompt_length: number of prompt tokens to keep, as in training; None keeps all.

    Raises:
        ValueError: `pairs` is empty.
        traitlets.TraitError: a value is out of range.
    """

    settings = ("pair", "beta", "view")

    pair = traitlets.Int(1).tag(sync=True)
    beta = Number(0.1, least=0.001, most=10.0)
    view = Choice(VIEWS)
    count = traitlets.Int().tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        policy: Any,
        reference: Any,
        tokenizer: Any,
        pairs: Sequence[PreferencePair],
        *,
        pair: int = 1,
        beta: float = 0.1,
        view: str = VIEWS[0],
        max_prompt_length: int | None = None,
    ) -> None:
        if not pairs:
            raise ValueError("pairs is empty: expected at least one pair")
        self.policy, self.reference, self.tokenizer, self.pairs = policy, reference, tokenizer, pairs
        self.max_prompt_length = max_prompt_length
        self._scored: dict[int, dict[str, ScoredResponse]] = {}
        super().__init__(count=len(pairs), pair=pair, beta=beta, view=view)
        self.show()

    @traitlets.validate("pair")
    def _known_pair(self, proposal: Any) -> int:
        if not 1 <= proposal["value"] <= len(self.pairs):
            raise traitlets.TraitError(f"pair must be between 1 and {len(self.pairs)}, found {proposal['value']}")
        return int(proposal["value"])

    @traitlets.observe("pair")
    def _on_pair(self, _: Any) -> None:
        self.show()

    def show(self) -> None:
        """Compute the current pair, unless it is cached, and send it to the browser.

        If the pair does not fit into the context of the models, the browser shows a note instead.
        """
        responses: dict[str, Any] = {}
        try:
            ids = self._tokenized()
        except ValueError as error:
            self.note = f"Pair {self.pair} cannot be shown: {error}"
        else:
            self.note = ""
            responses = {name: scored.for_browser() for name, scored in self._score(ids).items()}
        self.shown = {"number": self.pair, "prompt": self.pairs[self.pair - 1].prompt, **responses}

    def _tokenized(self) -> TokenizedPair:
        longest = min(context_length(self.policy), context_length(self.reference))
        return tokenize_pair(
            self.pairs[self.pair - 1], self.tokenizer, max_length=longest, max_prompt_length=self.max_prompt_length
        )

    def _score(self, ids: TokenizedPair) -> dict[str, ScoredResponse]:
        """Score both responses of the current pair, token by token; cached."""
        if self.pair not in self._scored:
            responses = (ids.chosen_ids, ids.rejected_ids)
            scored = score_responses(self.policy, self.reference, self.tokenizer, ids.prompt_ids, responses)
            self._scored[self.pair] = dict(zip(RESPONSES, scored, strict=True))
        return self._scored[self.pair]

    @property
    def responses(self) -> dict[str, ScoredResponse]:
        """Both responses of the pair that is shown, token by token, before β.

        Raises:
            ValueError: the pair does not fit into the models' context.
        """
        return self._score(self._tokenized())

    @property
    def rewards(self) -> dict[str, Float[Tensor, " tokens"]]:
        """Each token's share of the implicit reward, nats."""
        return {name: self._rewards_of(response) for name, response in self.responses.items()}

    def _rewards_of(self, response: ScoredResponse) -> Float[Tensor, " tokens"]:
        policy, reference = (
            torch.tensor(logps, dtype=torch.float64) for logps in (response.policy_logps, response.reference_logps)
        )
        return compute_implicit_reward(policy, reference, self.beta)

    @property
    def totals(self) -> dict[str, float]:
        """The implicit reward of each response, nats: the sum of its tokens' shares."""
        return {name: rewards.sum().item() for name, rewards in self.rewards.items()}

    @property
    def margin(self) -> float:
        """The implicit reward of the chosen response minus that of the rejected one, nats."""
        totals = self.totals
        return totals["chosen"] - totals["rejected"]

    @property
    def probability(self) -> float:
        """σ(margin): the probability that the policy gives to the annotator's choice."""
        return torch.tensor(self.margin, dtype=torch.float64).sigmoid().item()

    def strongest(self, count: int = 3) -> dict[str, list[tuple[str, float]]]:
        """The tokens of each response with the largest shares by absolute value, largest first, with their shares."""
        return {
            name: sorted(zip(response.texts, self._rewards_of(response).tolist(), strict=True), key=_size)[:count]
            for name, response in self.responses.items()
        }

    def describe(self) -> str:
        """The pair and its rewards in one line, rounded so that they are the same on other machines."""
        if self.note:
            return f"TokenRewards: {self.note}"
        chosen, rejected, margin = (round(v, 1) + 0.0 for v in (*self.totals.values(), self.margin))
        return (
            f"TokenRewards: pair {self.pair} of {self.count}, beta {self.beta:.3g}, {self.view}: implicit reward "
            f"of chosen {chosen:+.1f}, of rejected {rejected:+.1f}, margin {margin:+.1f}"
        )


def _size(token: tuple[str, float]) -> float:
    return -abs(token[1])
