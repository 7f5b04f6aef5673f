"""RIFE 4.x. `network` is imported only when a model is built; `spec` needs no torch."""
