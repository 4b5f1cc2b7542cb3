"""Compare the texts that the reference and the policy write after the same prompt, with the same random seed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from dpo_teach.batches import tokenize_prompt
from dpo_teach.models import context_length
from dpo_teach.sampling import Sample, decode, sample_tokens
from dpo_teach.widgets.explorer import Explorer
from dpo_teach.widgets.token_scores import ScoredResponse, eval_mode, lost_characters, score_responses

__all__ = ["WRITERS", "BeforeAfter"]

WRITERS = ("reference", "policy")
BOUNDS = {"seed": (0, 9999), "count": (2, 6)}


@dataclass(frozen=True)
class _Text:
    """A text by one model: its tokens under both models, whether the model ended it, and the score of the judge."""

    text: str
    tokens: ScoredResponse
    ended: bool
    judged: float | None

    def for_browser(self) -> dict[str, Any]:
        """The data that the browser shows, as JSON."""
        return {**self.tokens.for_browser(), "ended": self.ended, "judged": self.judged}


class BeforeAfter(Explorer, module="before_after", render="beforeAfter", styles=("tokens",)):
    """Several texts that the reference and the policy write after a prompt of the reader's choice, side by side.

    Both models sample with the same random seed: if they are the same model, they write the same texts. Each token is
    coloured by its log-ratio, log π - log π_ref, and each text shows the sum in nats. Averaged over many texts by the
    policy, these sums approach KL(π ‖ π_ref); over many texts by the reference, -KL(π_ref ‖ π).

    Args:
        policy, reference: causal language models that share the tokenizer.
        tokenizer: their tokenizer, with a padding token.
        prompt: the first prompt, by default the first suggestion. Without a prompt nothing is written.
        suggestions: prompts to pick from.
        count: number of texts by each model, 2 to 6.
        seed: the random seed, 0 to 9999.
        max_new_tokens: maximum length of a text, tokens.
        judge: a function that scores a text, such as `true_reward`; the score is shown under the function's name.

    Raises:
        traitlets.TraitError: a value is out of range, or the models cannot continue the prompt.
    """

    settings = ("prompt", "seed", "count")
    commands = ("write",)

    prompt = traitlets.Unicode("").tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    count = traitlets.Int(3).tag(sync=True)
    suggestions = traitlets.List(traitlets.Unicode()).tag(sync=True)
    judge_name = traitlets.Unicode("").tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)
    writing = traitlets.Bool(False).tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        policy: Any,
        reference: Any,
        tokenizer: Any,
        *,
        prompt: str | None = None,
        suggestions: Sequence[str] = (),
        count: int = 3,
        seed: int = 0,
        max_new_tokens: int = 96,
        judge: Callable[[str], float] | None = None,
    ) -> None:
        self.models = {"reference": reference, "policy": policy}
        self.tokenizer, self.max_new_tokens, self.judge = tokenizer, max_new_tokens, judge
        self._written_with: tuple[str, int, int] | None = None
        self._written: dict[str, list[_Text]] = {name: [] for name in WRITERS}
        first = prompt if prompt is not None else next(iter(suggestions), "")
        super().__init__(
            suggestions=list(suggestions),
            judge_name=getattr(judge, "__name__", "judge").strip("<>").replace("_", " ") if judge else "",
            count=count,
            seed=seed,
            **({"prompt": first} if first else {}),
        )
        self._write_if_changed()

    @traitlets.validate("seed", "count")
    def _within_bounds(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        least, most = BOUNDS[name]
        if not least <= value <= most:
            raise traitlets.TraitError(f"{name} must be between {least} and {most}, found {value}")
        return int(value)

    @traitlets.validate("prompt")
    def _usable_prompt(self, proposal: Any) -> str:
        problem = self.problem_with(proposal["value"])
        if problem:
            raise traitlets.TraitError(problem)
        return str(proposal["value"])

    @traitlets.observe("prompt", "seed", "count")
    def _on_setting(self, _: Any) -> None:
        self._write_if_changed()

    def _write_if_changed(self) -> None:
        """Let both models write, unless the current texts were written with these settings."""
        if self.prompt and self._written_with != (self.prompt, self.seed, self.count):
            self._write()

    def problem_with(self, prompt: str) -> str:
        """Why the models cannot continue a prompt, in one line; empty if they can."""
        if not prompt.strip():
            return "The prompt is empty: enter the beginning of a text."
        lost = lost_characters(prompt, self.tokenizer)
        if lost:
            return f"Remove the characters that the tokenizer cannot read: {' '.join(lost)}"
        if self._tokens_left(prompt) < 1:
            tokens, context = len(tokenize_prompt(prompt, self.tokenizer)), self._context
            return (
                f"The prompt has {tokens} tokens, and the context of the models is {context}: "
                f"shorten it to at most {context - 1}."
            )
        return ""

    @property
    def _context(self) -> int:
        return min(context_length(model) for model in self.models.values())

    def _tokens_left(self, prompt: str) -> int:
        """The number of tokens that a prompt leaves for the response."""
        return self._context - len(tokenize_prompt(prompt, self.tokenizer))

    def write(self, prompt: str, seed: int, count: int) -> None:
        """Let both models write, even if the settings are unchanged; the browser calls this.

        If the prompt cannot be used, the browser shows a note, and the texts stay.

        Args:
            prompt: the beginning of the texts.
            seed: the random seed, 0 to 9999.
            count: number of texts by each model, 2 to 6.
        """
        self.writing = True  # reset in any case, since the browser waits for it
        try:
            self.note = self.problem_with(prompt)
            if not self.note:
                before = self._written
                self.set(prompt=prompt, seed=seed, count=count)
                if self._written is before:
                    self._write()
        finally:
            self.writing = False

    def _write(self) -> None:
        """Let both models write after the current prompt, and score the texts."""
        self.writing = True
        self.send_state("writing")  # at once, even while `set` holds back other changes
        try:
            samples = {name: self._sample(model) for name, model in self.models.items()}
            self._written = {name: self._score(some) for name, some in samples.items()}
            self._written_with = (self.prompt, self.seed, self.count)
            self.note = ""
            self.shown = {
                "prompt": self.prompt,
                "seed": self.seed,
                "texts": {name: [text.for_browser() for text in texts] for name, texts in self._written.items()},
            }
        finally:
            self.writing = False

    def _sample(self, model: Any) -> list[Sample]:
        length = min(self.max_new_tokens, self._tokens_left(self.prompt))
        prompts = [self.prompt] * self.count
        with eval_mode(model):
            return sample_tokens(model, self.tokenizer, prompts, max_new_tokens=length, seed=self.seed)

    def _score(self, samples: Sequence[Sample]) -> list[_Text]:
        responses = [sample.response_ids for sample in samples]
        scored = score_responses(
            self.models["policy"], self.models["reference"], self.tokenizer, samples[0].prompt_ids, responses
        )
        return [
            _Text(
                text=text,
                tokens=tokens,
                ended=ids[-1] == self.tokenizer.eos_token_id,
                judged=self._judge(text),
            )
            for text, tokens, ids in zip(decode(samples, self.tokenizer), scored, responses, strict=True)
        ]

    def _judge(self, text: str) -> float | None:
        if self.judge is None:
            return None
        number = float(self.judge(text))
        if not math.isfinite(number):
            raise ValueError(f"judge: expected a finite number for {text!r}, found {number}")
        return number

    @property
    def texts(self) -> dict[str, list[str]]:
        """The texts by "reference" and by "policy"; no texts without a prompt."""
        return {name: [text.text for text in texts] for name, texts in self._written.items()}

    @property
    def tokens(self) -> dict[str, list[ScoredResponse]]:
        """The same texts, token by token, under both models."""
        return {name: [text.tokens for text in texts] for name, texts in self._written.items()}

    @property
    def log_ratios(self) -> dict[str, list[float]]:
        """log π(y|x) - log π_ref(y|x) of each text, nats."""
        return {name: [text.tokens.log_ratio for text in texts] for name, texts in self._written.items()}

    @property
    def judged(self) -> dict[str, list[float]]:
        """The judge's score of each text; empty without a judge."""
        return {
            name: [text.judged for text in texts if text.judged is not None] for name, texts in self._written.items()
        }

    def describe(self) -> str:
        """The settings in one line, without the texts: those of trained models differ from machine to machine."""
        if self._written_with is None:
            return "BeforeAfter: no prompt yet"
        prompt, seed, count = self._written_with
        return f"BeforeAfter: {count} texts by the reference and {count} by the policy after {prompt!r}, seed {seed}"
