"""Weights of an ONNX file as bytes, by onnxruntime's own tools: products are then computed in whole numbers."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.export.formats import silent

QUANTISED = ("extractor",)
"""The graphs that are quantised. The selector's map would choose other cells, and the rest takes little time."""
PRODUCTS = ["MatMul", "Gemm"]


def quantise(file: Path) -> None:
    """Replace the file by one whose matrix products take int8 weights, a scale for each channel, and activations that
    are quantised as they come (dynamic quantisation)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    smaller = file.with_suffix(".int8.onnx")
    with silent():
        quantize_dynamic(
            str(file), str(smaller), op_types_to_quantize=PRODUCTS, per_channel=True, weight_type=QuantType.QInt8
        )
    smaller.replace(file)
