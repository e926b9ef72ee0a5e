"""Pretraining by distillation from timm ViTs, without labels."""
