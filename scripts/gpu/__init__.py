"""Check and measure the package on a GPU in one command; see README.md."""
