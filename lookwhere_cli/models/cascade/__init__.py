"""Models that answer in stages: growing grids (DVT), or growing numbers of cells (looks)."""
