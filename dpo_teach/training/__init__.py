"""Train a policy: supervised fine-tuning (`sft`) and Direct Preference Optimization (`dpo`)."""

import lazy_loader

# Import lazily, so that the command line can read the configuration without importing torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
