"""Films: each frame that is looked at is a picture, with its time. Imports PyAV only where a film is opened."""
