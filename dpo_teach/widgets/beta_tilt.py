"""The β tilt: how far the reward bends the reference, in a world where it can be computed."""

import ipywidgets as ipw
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpo_teach.plots import INK, MUTED, POLICY, REFERENCE, card
from dpo_teach.widgets.panel import Control, Panel, slider_style
from dpo_teach.widgets.tilt_bars import TiltBars
from dpo_teach.worlds.tabular import TabularWorld, expected_reward, film_world, kl, log_partition, optimal_policy

__all__ = ["BetaTilt"]

_LOWEST, _HIGHEST = -1.3, 1.3


class BetaTilt(Panel):
    """The optimal policy beside the reference, and what its reward costs in KL, as β moves.

    Args:
        beta: 0.05 to 20.
        prompt: one of the world's prompts; the first by default.
        world: where it happens; the film world by default.

    >>> round(BetaTilt(beta=1.0).log_z, 4)
    0.2304
    """

    beta = Control()
    prompt = Control()

    def __init__(self, *, beta: float = 1.0, prompt: str | None = None, world: TabularWorld | None = None) -> None:
        self.world = world or film_world()
        inputs = {
            "beta": ipw.FloatLogSlider(
                value=beta,
                min=_LOWEST,
                max=_HIGHEST,
                step=0.05,
                description="β",
                readout_format=".2f",
                **slider_style(70),
            ),
            "prompt": ipw.Dropdown(
                options=list(self.world.prompts),
                value=prompt or self.world.prompts[0],
                description="prompt",
                **slider_style(70),
            ),
        }
        super().__init__(inputs, "How far the reward tilts the reference")

    @property
    def row(self) -> int:
        """Which prompt is shown."""
        return self.world.prompts.index(self.prompt)

    @property
    def policy(self) -> torch.Tensor:
        """The optimal policy for the prompt that is shown, probabilities."""
        return optimal_policy(self.world.reference, self.world.reward, self.beta)[self.row]

    @property
    def log_z(self) -> float:
        """The logarithm of Z for the prompt that is shown."""
        return log_partition(self.world.reference, self.world.reward, self.beta)[self.row].item()

    @property
    def reward(self) -> float:
        """The expected reward of the optimal policy."""
        return expected_reward(self.policy, self.world.reward[self.row]).item()

    @property
    def kl(self) -> float:
        """KL of the optimal policy to the reference, nats."""
        return kl(self.policy, self.world.reference[self.row]).item()

    def reading(self) -> str:
        """The four numbers in one line."""
        return (
            f"BetaTilt: beta {self.beta:.3g}, prompt {self.prompt!r}: expected reward {self.reward:+.4f}, "
            f"KL {self.kl:.4f} nats, log Z {self.log_z:.4f}, reward minus beta KL {self.beta * self.log_z:.4f}"
        )

    def build(self) -> Figure:
        """Bars on the left; reward against KL, with the point that β chooses, on the right."""
        figure = card(9.2, 4.4)
        figure.set_layout_engine("none")
        self._headline = figure.text(0.015, 0.94, "", fontsize=12, fontweight="bold", va="center")
        self._draw_bars(figure.add_axes((0.245, 0.13, 0.34, 0.68)))
        self._draw_frontier(figure.add_axes((0.745, 0.43, 0.235, 0.38)))
        self._numbers = figure.text(0.69, 0.26, "", va="top", linespacing=1.6, color=INK)
        self.moving = [self._headline, self._numbers, self._frontier_axes, *self._rewards, *self._bars.artists]
        return figure

    def _draw_bars(self, axes: Axes) -> None:
        self._bars = TiltBars(axes, self.world.responses)
        self._rewards = [
            axes.text(1.02, r, "", transform=axes.get_yaxis_transform(), va="center", color=MUTED)
            for r in range(len(self.world.responses))
        ]

    def _draw_frontier(self, axes: Axes) -> None:
        axes.set_title("Reward is bought with KL", fontsize=9.5)
        axes.set_xlabel("KL to the reference, nats")
        axes.set_ylabel("expected reward")
        (self._frontier,) = axes.plot([], [], color=POLICY)
        (self._start,) = axes.plot([], [], "o", color=REFERENCE, markersize=8)
        (self._point,) = axes.plot([], [], "o", color=INK, markersize=9, zorder=5)
        self._frontier_axes = axes

    def update(self) -> None:
        """Bars, the point on the frontier, the numbers and the sentence."""
        row = self.row
        reference, reward, policy = self.world.reference[row], self.world.reward[row], self.policy
        self._bars.update(reference, policy)
        for text, value in zip(self._rewards, reward.tolist(), strict=True):
            text.set_text(f"r = {value:+.1f}".replace("-", "−"))
        self._update_frontier(reference, reward)
        self._headline.set_text(_headline(self.kl))
        self._numbers.set_text(
            f"E[r] = {self.reward:+.3f}     KL = {self.kl:.3f}\nlog Z = {self.log_z:.3f}     Z = {_short(self.log_z)}\n"
            f"E[r] − β KL = {self.reward - self.beta * self.kl:+.3f} = β log Z"
        )

    def _update_frontier(self, reference: torch.Tensor, reward: torch.Tensor) -> None:
        betas = torch.logspace(_LOWEST, _HIGHEST, 61, dtype=torch.float64).tolist()
        policies = torch.stack([optimal_policy(reference, reward, beta) for beta in betas])
        costs = kl(policies, reference.expand_as(policies))
        rewards = expected_reward(policies, reward.expand_as(policies))
        self._frontier.set_data(costs, rewards)
        self._start.set_data([0.0], [expected_reward(reference, reward).item()])
        self._point.set_data([self.kl], [self.reward])
        self._frontier_axes.relim()
        self._frontier_axes.autoscale_view()


def _headline(distance: float) -> str:
    if distance < 0.02:
        return "A large β: the optimum is the reference, near enough."
    if distance > 2.0:
        return "A small β: the optimum chases the reward, and forgets where it came from."
    return "In between: the optimum is the reference, tilted towards the reward."


def _short(log_z: float) -> str:
    """Z itself, in a form that fits: it grows like exp(r/β)."""
    return f"{torch.tensor(log_z).exp().item():.3f}" if log_z < 7 else f"10^{log_z / 2.302585:.1f}"
