"""Find what is wrong with a run from its curves: loss, margin, and the log-ratios of both responses."""

from dpo_teach.exercises.choices import MatchExercise, Question

__all__ = ["diagnose_runs"]

_HEALTHY, _RATE, _STILL, _REFERENCE, _LONG = (
    "healthy",
    "learning rate too high",
    "nothing moves",
    "reference is not the start",
    "trained too long",
)

_WOULD_SHOW = {
    _HEALTHY: "A healthy run starts with a loss of ln 2 = 0.693 and a margin of 0; then its margin grows, the loss of "
    "held-out pairs falls with that of the training batches, and both log-ratios move by a few nats at most",
    _RATE: "With too high a rate the loss leaps up and down, and in the last panel both log-ratios plunge, by "
    "a hundred nats and more",
    _STILL: "If nothing moved, the loss would lie flat on the dotted line at ln 2, and the margin flat on 0",
    _REFERENCE: "If the reference were not the start, the very first loss would not be ln 2 = 0.693, nor the first "
    "margin 0",
    _LONG: "After too long a training the loss of the training batches is close to 0, while that of held-out pairs "
    "climbs past ln 2",
}
"""What each choice would look like, to be held against what there is."""

_LOOK = {
    "A": "In run A, follow the loss panel to its right end, and read both of its curves there.",
    "B": "In run B, read the loss panel from its first point to its last, held-out pairs included, and then the scale "
    "of the panel of the log-ratios.",
    "C": "In run C, look at the left edge of the loss panel and of the margin panel, before a step has had any effect.",
    "D": "In run D, read the scale of the last panel, and then how the loss gets from one step to the next.",
    "E": "In run E, read the scale of the margin panel, from its lowest value to its highest.",
}
"""Where the symptom of each run is seen."""

_EXPLANATIONS = {
    "A": (_LONG, "The training loss goes to 0 and the held-out loss climbs past ln 2: the pairs are known by heart."),
    "B": (_HEALTHY, "The loss starts at ln 2 and falls on training and held-out pairs alike, and the margin grows."),
    "C": (_REFERENCE, "The first loss is not ln 2 and the first margin is not 0, though nothing has been trained yet."),
    "D": (_RATE, "The loss leaps, and both log-ratios plunge by a hundred nats and more: the policy is broken."),
    "E": (_STILL, "The loss stays at ln 2 and the margin at 0: no gradient reaches the weights, or no step does."),
}


def _question(label: str) -> Question:
    answer, explanation = _EXPLANATIONS[label]
    diagnoses = {choice: f"{shows}. {_LOOK[label]}" for choice, shows in _WOULD_SHOW.items() if choice != answer}
    return Question(answer=answer, explanation=explanation, diagnoses=diagnoses)


diagnose_runs = MatchExercise(
    name="what is wrong with the run",
    notebook="04",
    answer_name="diagnoses",
    task="Fill in the dict `diagnoses`: for each of the runs A to E, what its curves say. Each choice is used once.",
    hints=(
        "Read every run in the same order: the first loss, the last loss, held-out against training, and at the end "
        "the scale of the log-ratios.",
        "The first loss of DPO is ln 2 = 0.693, unless the policy does not start from its reference; and it stays "
        "there if nothing reaches the weights. That settles two of the runs.",
        "Of the other three runs, one has log-ratios that plunge by a hundred nats and more, and one has a "
        "held-out loss that climbs while the training loss goes to 0. What is left is how it should look.",
    ),
    praise="All five: you look at where the loss starts, at the held-out pairs and at both log-probabilities, and not "
    "only at whether the loss falls.",
    choices=(_HEALTHY, _RATE, _STILL, _REFERENCE, _LONG),
    questions={label: _question(label) for label in _EXPLANATIONS},
)
