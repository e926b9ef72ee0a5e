"""Fine-tuning on labelled pictures."""
