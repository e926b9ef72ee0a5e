"""How each task is learnt: targets, losses, class weights, and the config of a model for it. Needs torch."""
