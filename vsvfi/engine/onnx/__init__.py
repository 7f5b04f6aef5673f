"""ONNX: the phases of a network as ONNX graphs, and their execution by ONNX Runtime."""
