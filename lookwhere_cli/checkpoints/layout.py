"""File names of a model's folder, and names of the models that the package knows."""

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
RESULTS = "results.json"
TRAINING = "training.json"
CHECKPOINT = "checkpoint.pt"
SUMS = "SHA256SUMS"
ORIGIN = "origin.json"
EXPORT = "export.json"
"""The record of an exported model, whose folder has graphs in place of weights."""

DEFAULT_CLASSIFIER = "lookwhere-tiny-in1k"
DEFAULT_SEGMENTER = "lookwhere-tiny-streets"
DEFAULT_DETECTOR = "lookwhere-tiny-signs"

PUBLISHED_REPOSITORY = "antofuller/lookwhere"
PUBLISHED_FILES = {
    "imagenet-base": "is_LW=True_K=128_LR=1e-05_E=30.pt",
    "dinov2-base": "lookwhere_dinov2.pt",
    "franca-base": "lookwhere_franca.pt",
}
"""The authors' files of weights, by alias."""
