"""Tensors in, tensors out: models built, cached and run. Usable without VapourSynth, of which it knows nothing."""
