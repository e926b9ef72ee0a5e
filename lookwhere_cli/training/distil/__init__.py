"""Pretraining by distillation from timm teachers, without labels."""
