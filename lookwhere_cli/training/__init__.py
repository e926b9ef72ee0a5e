"""Pretraining by distillation and fine-tuning on labelled sets, with one loop for both."""
