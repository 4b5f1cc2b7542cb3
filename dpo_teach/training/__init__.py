"""Train a policy: supervised fine-tuning (`sft`) and Direct Preference Optimization (`dpo`)."""

import lazy_loader

# The command line reads the configuration without waiting for torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
