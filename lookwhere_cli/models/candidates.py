"""The numbers of a candidate, as a detection model returns them for each point. Imports no torch.

Lengths are in cells of the picture's grid, from its upper left corner: x in columns, y in rows.
"""

BOX = slice(0, 4)
"""Left, top, right and bottom of the candidate's box."""
POINT = slice(4, 6)
"""The x and y of the point that predicts it."""
CLASSES = slice(6, None)
"""A score for each class, before the sigmoid."""
