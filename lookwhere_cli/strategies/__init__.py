"""How far a picture is read: a fixed number of cells, looks until the answer is certain, or growing grids."""
