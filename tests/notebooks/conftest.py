"""What pytest must not import: code for the kernels of a test, which changes the package."""

collect_ignore = ["kernel_side.py"]
