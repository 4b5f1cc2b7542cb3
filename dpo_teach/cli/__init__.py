"""`dpo-teach`: inspect data, fine-tune, train with DPO, evaluate, sample."""

from dpo_teach.cli.entry import main

__all__ = ["main"]
