"""What a model's output means: one file for each task. `registry` finds the head that a config asks for."""
