"""The vocabulary of the reviews world, with the value of each word or phrase.

Values are rewards (logits of the simulated annotator, in nats). Every table of values is balanced around 0, so that the
mean true reward of generated reviews is close to 0.
"""

OPENING_TIMES = (
    "Last night", "On Friday", "On a rainy Sunday", "After work", "At the festival", "On the night train",
    "Over the holidays", "Against all advice", "For the third time", "With low hopes",
)  # fmt: skip
OPENING_PEOPLE = ("I", "we", "my brother and I", "our film club", "the whole family", "two friends and I")
OPENING_VERBS = ("watched", "saw", "finally saw", "went to see")
TITLE_ADJECTIVES = (
    "Glass", "Paper", "Silent", "Borrowed", "Crooked", "Winter", "Hollow", "Second", "Electric", "Patient", "Salt",
    "Wandering",
)  # fmt: skip
TITLE_NOUNS = (
    "Harbour", "Lighthouse", "Orchard", "Violin", "Detective", "Garden", "Astronaut", "Kingdom", "Letter", "Mirror",
    "Parade", "Baker",
)  # fmt: skip

ASPECTS = (
    "acting", "plot", "music", "ending", "dialogue", "camera work", "pacing", "script", "villain", "lead actress",
    "humour", "opening scene", "final act", "love story", "car chase", "editing", "direction", "narrator",
)  # fmt: skip

# "the plot was ADJECTIVE"
ADJECTIVES = {
    "superb": 1.5, "brilliant": 1.5, "unforgettable": 1.5, "magnificent": 1.5,
    "moving": 1.0, "clever": 1.0, "gripping": 1.0, "lovely": 1.0, "inventive": 1.0,
    "charming": 0.5, "decent": 0.5, "pleasant": 0.5, "tidy": 0.5,
    "uneven": -0.5, "thin": -0.5, "slow": -0.5, "predictable": -0.5,
    "dull": -1.0, "clumsy": -1.0, "tedious": -1.0, "lazy": -1.0, "muddled": -1.0,
    "dreadful": -1.5, "unbearable": -1.5, "awful": -1.5, "hopeless": -1.5,
}  # fmt: skip

# "the plot was DEGREE dull": (factor of the value, relative frequency). Intensifiers scale the value, negations flip
# its sign.
DEGREES = {
    "": (1.0, 8), "very ": (1.5, 3), "truly ": (1.5, 2), "utterly ": (2.0, 2), "rather ": (0.75, 2),
    "a little ": (0.5, 2), "not ": (-0.5, 2), "hardly ": (-0.5, 1), "never ": (-1.0, 1), "not at all ": (-1.0, 1),
    "anything but ": (-1.5, 1),
}  # fmt: skip

# "I FEELING the plot": (form after "did not", value).
FEELINGS = {
    "adored": ("adore", 1.5), "loved": ("love", 1.25), "enjoyed": ("enjoy", 1.0), "admired": ("admire", 1.0),
    "liked": ("like", 0.5), "minded": ("mind", -0.5), "disliked": ("dislike", -1.0), "resented": ("resent", -1.0),
    "hated": ("hate", -1.25), "detested": ("detest", -1.5),
}  # fmt: skip
FEELING_DEGREES = {
    "": (1.0, 6), "really ": (1.5, 3), "secretly ": (0.75, 2), "did not ": (-0.5, 2), "did not exactly ": (-0.25, 1),
}  # fmt: skip

# "the plot made me EFFECT"
EFFECTS = {
    "want to see it again": 1.5, "cry happy tears": 1.5, "laugh out loud": 1.0, "forget the time": 1.0,
    "sit up straight": 1.0, "smile": 0.5, "hum on the way home": 0.5,
    "sigh": -0.5, "look at the ceiling": -0.5, "check my watch": -1.0, "count the empty seats": -1.0,
    "think about laundry": -1.0, "want my money back": -1.5, "walk out": -1.5,
}  # fmt: skip
EFFECT_DEGREES = {
    "made me ": (1.0, 6), "almost made me ": (0.5, 2), "kept trying to make me ": (0.25, 1),
    "did not make me ": (-0.5, 2),
}  # fmt: skip

CLOSES = {
    "Do not miss it.": 1.0, "Go tonight.": 1.0, "Five stars.": 1.0, "I would see it again tomorrow.": 1.0,
    "Worth an evening.": 0.5, "Four stars.": 0.5, "Take a friend.": 0.5,
    "Three stars.": 0.0, "Make up your own mind.": 0.0, "Then we had soup.": 0.0,
    "Two stars.": -0.5, "Wait for a dull Tuesday.": -0.5, "Bring a book.": -0.5,
    "Save your money.": -1.0, "One star.": -1.0, "Stay at home.": -1.0, "Never again.": -1.0,
}  # fmt: skip
