"""The log-likelihood that a causal language model gives to each answer after a context.

The score of a label is the sum of log p over the tokens of its name, as in lm-evaluation-harness (`multiple_choice`).
Small decoders prefer some labels whatever the text, so the score after an empty text can be taken off: contextual
calibration (Zhao et al. 2021, arXiv 2102.09690). N contexts, C answers, V pieces.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from distil.compute.batching import by_length
from distil.core.errors import UserError
from distil.decoders.loading import Decoder
from distil.decoders.prompts import TaskPrompt
from distil.tasks.data import TextRow


class Answer(NamedTuple):
    """What has to be read to score one answer after one context."""

    read: tuple[int, ...]  # context and answer but for its last token
    start: int  # of the answer among context and answer
    tokens: tuple[int, ...]  # of the answer


class LabelScorer:
    """A decoder with the prompt of one task."""

    def __init__(
        self, decoder: Decoder, prompt: TaskPrompt, batch_tokens: int, max_text_tokens: int, calibrate: bool
    ) -> None:
        """See `DecoderConfig` for the numbers."""
        self.decoder, self.prompt, self.calibrate = decoder, prompt, calibrate
        self._batch_tokens, self._max_text_tokens = batch_tokens, max_text_tokens
        self._keeps = "logits_to_keep" in inspect.signature(decoder.model.forward).parameters

    def log_probs(
        self, texts: Sequence[str], shots: Sequence[TextRow] = (), done: Callable[[int], None] = lambda count: None
    ) -> np.ndarray:
        """(N, C) float32 log-probabilities of the labels of N texts, whose scores are normalised over the labels.

        A text that is itself one of the shots is read without it, or its label would stand in front of it.

        Args:
            texts: to label.
            shots: training rows in front of each text.
            done: told how many contexts were read.

        Raises:
            UserError: a prompt is longer than the model can read.
        """
        known = {row.text for row in shots}
        used = [tuple(row for row in shots if row.text != text) if text in known else tuple(shots) for text in texts]
        cut = [[row._replace(text=self._cut(row.text)) for row in rows] for rows in used]
        contexts = [self.prompt.context(self._cut(text), rows) for text, rows in zip(texts, cut, strict=True)]
        scores = self.log_likelihoods(contexts, done)
        if self.calibrate:
            empty = {rows: self.prompt.context("", shown) for rows, shown in zip(used, cut, strict=True)}
            priors = dict(zip(empty, self.log_likelihoods(list(empty.values())), strict=True))
            scores = scores - np.stack([priors[rows] for rows in used]) if used else scores
        return (scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)).astype(np.float32)

    def _cut(self, text: str) -> str:
        """The text up to its last token that counts."""
        ends = self.decoder.ends(text)
        return text[: ends[self._max_text_tokens - 1]] if len(ends) > self._max_text_tokens else text

    @torch.inference_mode()
    def log_likelihoods(self, contexts: Sequence[str], done: Callable[[int], None] = lambda count: None) -> np.ndarray:
        """(N, C) float64 sums of log p over the tokens of each answer, in nats.

        Answers of one token read nothing but their context, which is then read once for all of them.
        """
        wanted: dict[tuple[int, ...], list[tuple[int, int, Answer]]] = {}
        for row, context in enumerate(contexts):
            for column, answer in enumerate(self._answers(context)):
                wanted.setdefault(answer.read, []).append((row, column, answer))
        found = np.zeros((len(contexts), len(self.prompt.answers)))
        inputs = list(wanted)
        self._check_lengths(inputs)
        for numbers in by_length(np.array([len(read) for read in inputs]), self._batch_tokens):
            batch = [inputs[number] for number in numbers]
            first = min(answer.start for read in batch for _, _, answer in wanted[read]) - 1
            log_probs = self._predict(batch, first)
            for place, read in enumerate(batch):
                for row, column, answer in wanted[read]:
                    at = range(answer.start - 1 - first, answer.start - 1 - first + len(answer.tokens))
                    found[row, column] = float(log_probs[place, list(at), list(answer.tokens)].double().sum())
            done(len(batch))
        return found

    def _answers(self, context: str) -> list[Answer]:
        """An answer's tokens are those of context and answer together beyond what they share with the context alone."""
        before, answers = self.decoder.encode(context), []
        for text in self.prompt.answers:
            whole = self.decoder.encode(context + text)
            same = [one == other for one, other in zip(whole, before, strict=False)]
            start = min(same.index(False) if False in same else len(same), len(whole) - 1)
            answers.append(Answer(tuple(whole[:-1]), start, tuple(whole[start:])))
        return answers

    def _check_lengths(self, inputs: Sequence[tuple[int, ...]]) -> None:
        limit = self.decoder.positions
        if limit and (long := sum(len(read) > limit for read in inputs)):
            raise UserError(
                f"{self.decoder.where}: {long:,} of {len(inputs):,} prompts are longer than its {limit:,} positions; "
                "use fewer shots, or a smaller max_text_tokens"
            )

    def _predict(self, batch: Sequence[tuple[int, ...]], first: int) -> torch.Tensor:
        """(B, T - first, V) float32 log-probabilities of what follows each token from `first` on.

        Padding is on the right, where a causal model cannot see it.
        """
        model = self.decoder.model
        width = max(map(len, batch))
        input_ids = torch.zeros(len(batch), width, dtype=torch.int64)
        mask = torch.zeros(len(batch), width, dtype=torch.int64)
        for row, read in enumerate(batch):
            input_ids[row, : len(read)] = torch.tensor(read)
            mask[row, : len(read)] = 1
        kept = torch.arange(first, width, device=model.device)
        more = {"logits_to_keep": kept} if self._keeps else {}
        logits = model(input_ids=input_ids.to(model.device), attention_mask=mask.to(model.device), **more).logits
        return torch.log_softmax((logits if self._keeps else logits[:, first:]).float(), dim=-1).cpu()
