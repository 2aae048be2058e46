"""Weights of a mixture of models, found by expectation maximisation (Dempster et al. 1977)."""

import numpy as np

ROUNDS = 200


def least_loss_weights(true_log_probs: np.ndarray) -> np.ndarray:
    """(K,) weights, 1 in sum, with which the mixture of K models has the least loss on U decisions.

    One decision more for each model counts as explained by it, so that no weight is 0 and without any decision all are
    equal.

    Args:
        true_log_probs: (K, U) what each model gives to what was true, in nats.
    """
    models, decisions = true_log_probs.shape
    weights = np.full(models, 1 / models)
    for _ in range(ROUNDS):
        joint = true_log_probs.astype(np.float64) + np.log(weights)[:, None]
        share = np.exp(joint - np.logaddexp.reduce(joint, axis=0))
        weights = (share.sum(axis=1) + 1) / (decisions + models)
    return weights
