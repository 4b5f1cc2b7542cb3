"""Find the term of PPO that keeps the policy near its reference."""

from dpo_teach.exercises.choices import ChoiceExercise

__all__ = ["TERMS", "which_term"]

TERMS: dict[str, str] = {
    "A": "min( ρ_t A_t, clip(ρ_t, 1-ε, 1+ε) A_t ): what the policy maximises, with ρ_t = π / π_old, "
    "where π_old drew the samples",
    "B": "1/2 (V_t - R_t)²: what the value model minimises, with R_t the return",
    "C": "-β log( π / π_ref ): added to the reward of every token",
    "D": "A_t ← (A_t - mean A) / std A: over all tokens of an iteration",
}
"""What PPO is made of, by letter."""

which_term = ChoiceExercise(
    name="what holds PPO back",
    notebook="02",
    answer_name="term",
    task='Set `term` to the letter of what keeps the policy near the *reference* over the whole run: "A", "B", "C" or '
    '"D".',
    hints=(
        "Near to what? Ask of each term from where it measures.",
        "There are two earlier policies in PPO: the one that drew the latest samples, which is another in every "
        "iteration, and the reference, which is always the same.",
        "A limit on every step is no limit on the way: forty steps of a metre are forty metres. Look for the term "
        "whose cost keeps growing as the policy goes on.",
    ),
    praise="C: whichever policy drew the samples, the price is measured from the reference, and going further always "
    "costs more. β sets how far the run goes; the clip only how long a step may be.",
    answer="C",
    explanation="C. It is the only term with π_ref in it. Summed over the tokens of a response and averaged over "
    "samples it is -β KL(π, π_ref), so that the run ends where another nat of KL costs more than the reward it buys.",
    diagnoses={
        "A": "The clip measures from π_old, which drew the samples: it takes away the gain of moving further than ε "
        "from there. In the next iteration π_old is the policy that came of it, and many small updates go arbitrarily "
        "far.",
        "B": "The value loss trains the value model, which foretells what is still to come. It makes the advantages "
        "less noisy, and says nothing about where the policy may go.",
        "D": "Normalising gives the advantages mean 0 and standard deviation 1, so that one learning rate fits all "
        "rewards. How hard the policy is pushed depends on it, but not from where: it knows no earlier policy at all.",
    },
)
