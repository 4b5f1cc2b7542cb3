"""The exercises of the notebooks: `check`, `hint`, `help` and `reveal`."""
