"""Entry point of `python -m dpo_teach.cli` and `accelerate launch -m dpo_teach.cli`."""

from dpo_teach.cli import main

main()
