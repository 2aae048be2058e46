"""Where the fine-tuning of a text classifier starts: from the mean of a text's states, not from its first one.

XLM-R's classifier reads the last state of `<s>`. A teacher that was trained to give a mean of states, as sentence
encoders are, leaves that one the same for every text (afro-e5-mini: a deviation over texts of 0.0008, of the mean
0.115), and no head tells equal inputs apart; nor does a student learn otherwise from it. Here the last layer starts as
a mean over the text, which is then at `<s>`, and the head's first layer sees where texts differ. The model is XLM-R
as before, loaded by everything that loads XLM-R, and all of it is trained.

Re-initialising a model's top layers is Zhang et al. 2021 (arXiv 2006.05987); setting first weights by what comes
in, Mishkin and Matas 2016 (arXiv 1511.06422).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from distil.compute.batching import BATCH_TOKENS, by_length
from distil.finetuning.classifier import Classifier
from distil.finetuning.encoding import Encoded, pad

MEAN_WEIGHT = 10.0  # of the mean against the state of `<s>` itself, which the residual connection adds to it
HEAD_DEVIATION = 0.3  # over texts, of what the head puts into tanh; at 1 a small student learned more slowly
SAMPLE_ROWS = 512  # from which the head's centre and deviation are estimated
_SMALLEST = 1e-6


@torch.no_grad()
def init_mean_pooling(model: Classifier, rows: Encoded, pad_id: int, seed: int) -> None:
    """Make the last layer a mean over the text and the head one that sees texts differ, in place.

    Args:
        model: of texts, with a new head.
        rows: to train on; ROWS of them are read.
        pad_id: of the padding piece.
        seed: decides which.
    """
    transformer: Any = model.transformer
    uniform_attention(transformer)
    states, dense = _first_states(model, rows, pad_id, seed), transformer.classifier.dense
    deviation = (states @ dense.weight.T).std(dim=0, correction=0)
    dense.weight.mul_(HEAD_DEVIATION / deviation.clamp_min(_SMALLEST)[:, None])
    dense.bias.copy_(-(states @ dense.weight.T).mean(dim=0))


@torch.no_grad()
def uniform_attention(model: Any) -> None:
    """The first state becomes LayerNorm(`<s>` + MEAN_WEIGHT * mean), normalised once more.

    Queries of zero give every token the same attention, values pass as they are, and the feed-forward part adds zero.
    """
    layer = model.roberta.encoder.layer[-1]
    one = torch.eye(model.config.hidden_size, device=layer.output.dense.weight.device)
    for part, weight in (
        (layer.attention.self.query, 0 * one), (layer.attention.self.value, one),
        (layer.attention.output.dense, MEAN_WEIGHT * one),
    ):  # fmt: skip
        part.weight.copy_(weight)
        part.bias.zero_()
    layer.output.dense.weight.zero_()
    layer.output.dense.bias.zero_()


def _first_states(model: Classifier, rows: Encoded, pad_id: int, seed: int) -> Tensor:
    """(R, H) last states of `<s>` of R rows; the model is in evaluation mode."""
    chosen = np.random.default_rng([seed, SAMPLE_ROWS]).permutation(len(rows.ids))[:SAMPLE_ROWS]
    transformer: Any = model.transformer
    device, found = model.device, []
    for batch in by_length(rows.lengths()[chosen], BATCH_TOKENS[device.type]):
        input_ids, mask = pad([rows.ids[row] for row in chosen[batch]], pad_id, device)
        expert = model.expert_of(rows.languages[chosen[batch]])
        found.append(transformer.roberta(input_ids, attention_mask=mask, **expert).last_hidden_state[:, 0])
    return torch.cat(found)
