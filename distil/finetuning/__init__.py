"""Task classifiers: encoding, training, task distillation, soft labels, predictions of test rows."""
