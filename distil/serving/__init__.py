"""ONNX export, runtimes, parity with torch, speed, and the prediction command (`cli.py`)."""
