"""What learners move: explorers that answer in the browser, and panels whose picture the kernel draws."""

import lazy_loader

# A slider must not wait for the import of a trainer that another widget needs.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
