"""Count the models that each pipeline holds in memory while it trains."""

from dpo_teach.exercises.choices import MatchExercise, Question

__all__ = ["count_models"]

count_models = MatchExercise(
    name="the models in memory",
    notebook="02",
    answer_name="memory",
    task="Fill in the dict `memory`: for each of the four trainings, how many models are in memory at the same time: "
    "1, 2, 3 or 4.",
    hints=(
        "Go through each training's loss and ask of every number in it: which model does it come from, and must that "
        "model be asked during training?",
        "A model whose numbers can be known beforehand need not be there. DPO knows all its responses in advance; "
        "PPO writes new ones in every iteration, and all who judge them must be present.",
        "PPO: who writes, who gives the reward, who foretells it at each token, and from whom is the KL measured? DPO "
        "keeps the first and the last of these. The reward model's own loss has nothing but rewards in it.",
    ),
    praise="Four, two, one, one. The reward model is trained alone and then joins PPO, so it is PPO that decides how "
    "much memory RLHF needs.",
    choices=("1", "2", "3", "4"),
    questions={
        "RLHF with PPO": Question(
            answer="4",
            explanation="The policy writes, the reward model scores, the value model foretells the score at each "
            "token, and the KL is measured from the reference.",
            diagnoses={
                "1": "That would do if all that is said about a response could be known beforehand. PPO writes its "
                "responses while it trains: who scores them, who says what was to be expected, and from whom is the KL "
                "measured?",
                "2": "Policy and reference are DPO's. The responses of PPO are new, and nobody has compared them: what "
                "gives them a reward, and what tells each token how much of it was to be expected?",
                "3": "It is most often the value model that is forgotten: it foretells, token by token, the reward "
                "that comes at the end, and here it has a body of its own. If you have it, look for the reference and "
                "for the reward model.",
            },
        ),
        "DPO": Question(
            answer="2",
            explanation="The loss compares the policy with the reference, on the responses of each pair.",
            diagnoses={
                "1": "The reference is forgotten: each log-ratio takes a log-probability from it. Here nothing was "
                "computed beforehand, so it has to be there to be asked, in every batch.",
                "3": "A reward model is counted that there is not: the implicit reward is β times a log-ratio. And "
                "chosen and rejected are rows of a batch, not models.",
                "4": "This is RLHF's list. DPO neither scores new responses nor foretells a score, so it has no reward "
                "model and no value model.",
            },
        ),
        "DPO, reference precomputed": Question(
            answer="1",
            explanation="The reference has said its log-probabilities before training and been let go; the policy is "
            "what is left.",
            diagnoses={
                "2": "The reference is still counted. It has been asked about every response before training began, "
                "and only its numbers are kept.",
                "3": "These are more than DPO has without precomputing, and precomputing can only take away. Which "
                "models does DPO's loss ask, and which of them never changes?",
                "4": "There is neither a reward model nor a value model in DPO. Of what remains, ask which never "
                "changes, so that its answers could be written down before.",
            },
        ),
        "reward model alone": Question(
            answer="1",
            explanation="Its loss takes the rewards of chosen and rejected, both from the same model, and nothing "
            "else.",
            diagnoses={
                "2": "Something is counted twice: the head is part of the model whose body it reads, and chosen and "
                "rejected are rows of a batch, not models. The language model that the body was copied from is no "
                "longer needed.",
                "3": "Policy and reference belong to PPO, which comes later. Here nobody writes, and no KL is "
                "measured: the responses are the pairs that the annotators saw.",
                "4": "These are PPO's, of which the reward model is a part. This is the stage before it: whose numbers "
                "stand in the loss of Bradley and Terry?",
            },
        ),
    },
)
