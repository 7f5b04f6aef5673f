"""Load models and interpolate tensors, with caches and worker threads; independent of VapourSynth."""
