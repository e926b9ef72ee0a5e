"""Token pruning: Token Cropr, and what it is compared with."""
