"""Run notebooks again and write them back in one form: `python -m dpo_teach.notebooks notebooks/*.ipynb`.

A notebook is committed executed, so it must not change because somebody else, somewhere else, ran it again. Each one
is run from top to bottom in its own folder, by a fresh kernel of this very interpreter with the Hub switched off, and
written back with everything taken out that depends on the machine, the clock or chance. `--check` runs nothing and
says what is not in this form.

Where a cell is tagged `nbval-ignore-output`, its outputs differ from run to run. The ones in the file are kept as long
as neither that cell nor a code cell above it was edited, so that a second run changes nothing; `--fresh` renews them,
and is what to use when the package under the notebook has changed.
"""
