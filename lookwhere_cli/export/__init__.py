"""Models as graphs that other libraries compute: ONNX files, or programs of torch.export."""
