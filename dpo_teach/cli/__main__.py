"""`python -m dpo_teach.cli`, which `accelerate launch -m dpo_teach.cli` runs."""

from dpo_teach.cli import main

main()
