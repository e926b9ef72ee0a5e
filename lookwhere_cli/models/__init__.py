"""The models in torch, their configs and schedules without it: no files, no pictures, no printing."""
