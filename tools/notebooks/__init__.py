"""Execute notebooks and write them back in normal form: `python -m tools.notebooks notebooks/*.ipynb`.

A notebook is committed with its outputs, so re-executing it on another machine must not change the file. Each notebook
is executed from top to bottom in its own folder, by a fresh kernel of this interpreter with the Hub switched off, and
written back without anything that depends on the machine, the time or randomness. `--check` executes nothing and
reports notebooks that are not in normal form.

The outputs of a cell tagged `nbval-ignore-output` differ from run to run. The saved ones are kept as long as neither
that cell nor a code cell above it was edited, so that a second run changes nothing; `--fresh` renews them, which is
needed after a change to the package that the notebook uses.
"""
