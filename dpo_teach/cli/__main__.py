"""`python -m dpo_teach.cli`, as `accelerate launch -m dpo_teach.cli` starts it."""

from dpo_teach.cli.entry import main

main()
