"""Interactive widgets: explorers, which compute in the browser, and panels, whose figure the kernel draws."""

import lazy_loader

# A widget's module is imported on first use: a slider must not wait for the trainer that another widget imports.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
