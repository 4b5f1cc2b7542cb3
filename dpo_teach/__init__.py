"""Learn Direct Preference Optimization by running it."""

import lazy_loader

# The names in __init__.pyi are imported when they are first used: torch takes a second or two.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
