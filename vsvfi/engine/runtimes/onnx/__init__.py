"""The runtime `onnx`: phases as ONNX graphs, run by ONNX Runtime with the provider after the colon."""
