"""Programs outside the package: training, evaluation, benchmarks.

They may import vsvfi; vsvfi never imports them.
"""
