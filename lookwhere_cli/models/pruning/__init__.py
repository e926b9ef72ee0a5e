"""Token pruning: Token Cropr, and the methods that it is compared with."""
