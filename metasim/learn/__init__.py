"""Learning: codec, editor, features, discrepancies, gradients, and the training loop."""
