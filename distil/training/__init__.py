"""The objective, the data loader, the training loop, validation and training curves."""
