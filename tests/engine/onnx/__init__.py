"""Tests of `vsvfi.engine.onnx`."""
