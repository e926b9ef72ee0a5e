"""Distillation and what it needs: data, teachers, losses, the loop."""
