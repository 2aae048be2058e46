"""Cut a model down without training: to the pieces of models/tokenizer, and to its first layers."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distil.core.errors import UserError
from distil.finetuning.classifier import Classifier
from distil.finetuning.ngrams import NgramTable
from distil.modeling.tokenizer import load_tokenizer, read_manifest, teacher_piece_ids


def kept_pieces(tokenizer: Path, model: Path, where: str) -> np.ndarray:
    """(pieces,) int32: the id in the model of each piece of models/tokenizer.

    Args:
        tokenizer: models/tokenizer.
        model: a folder with the tokenizer from which the pieces were chosen.
        where: names the key of params.yaml in errors.

    Raises:
        UserError: nothing was cut, or the model's pieces are not those that were chosen from.
    """
    manifest = read_manifest(tokenizer)
    if manifest["pieces"] == manifest["teacher_pieces"]:
        raise UserError(
            f"{where}.vocabulary: kept, but vocabulary.keep is {manifest['keep']} and nothing is cut; set it to full"
        )
    ids, kept, whole = teacher_piece_ids(tokenizer), load_tokenizer(tokenizer), load_tokenizer(model)
    for piece, before in enumerate(ids.tolist()):
        if (expected := kept.id_to_token(piece)) != (found := whole.id_to_token(before)):
            raise UserError(
                f"{where}.vocabulary: kept cuts a model with the teacher's pieces, but piece {before} of {model} is "
                f"{found!r}, not {expected!r}; set it to full"
            )
    return ids


class KeptNgramTable(NgramTable):
    """The n-gram table of a model whose vocabulary was cut: rows are found by the ids that it was trained with."""

    teacher_ids: Tensor

    def __init__(self, table: NgramTable, ids: np.ndarray) -> None:
        """`ids` (pieces,): the id before the cut of each piece."""
        nn.Module.__init__(self)
        self.shape, self.table = table.shape, table
        self.register_buffer("teacher_ids", torch.from_numpy(ids.astype(np.int32)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As of the table, from ids after the cut."""
        return self.table(self.teacher_ids[input_ids].long(), attention_mask)


def cut_embeddings(model: Any, ids: np.ndarray) -> None:
    """Leave only the rows `ids` (pieces,) of a model's embedding table, in place."""
    rows = model.get_input_embeddings().weight.detach()[torch.from_numpy(ids.astype(np.int64)).to(model.device)]
    kept = nn.Embedding.from_pretrained(rows, padding_idx=model.config.pad_token_id, freeze=False)
    model.set_input_embeddings(kept)
    model.config.vocab_size = len(ids)


def keep_pieces(model: Classifier, ids: np.ndarray) -> None:
    """Cut a classifier to some pieces, in place; every score of a text of these pieces stays as it is."""
    cut_embeddings(model.transformer, ids)
    if model.ngrams is not None:
        model.ngrams = KeptNgramTable(model.ngrams, ids).to(model.device)
