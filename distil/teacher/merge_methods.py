"""Several models of one shape as one model: pure functions on the tensors of N models by name.

linear   the mean (model soups, Wortsman et al. 2022, arXiv 2203.05482)
slerp    a mean on the sphere: the next model is added along the arc between it and the mean so far (Shoemake 1985)
ties     trim, elect sign, mean (TIES, Yadav et al. 2023, arXiv 2306.01708)
dare     drop and rescale, then the mean (DARE, Yu et al. 2024, arXiv 2311.03099)

ties and dare work on what each model differs by from the base, the model that all of them started from. Tensors are
compared and changed one by one; none is changed in place.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from distil.core.errors import UserError

MergeMethod = Literal["linear", "slerp", "ties", "dare"]

Weights = Mapping[str, Tensor]

LINE = 0.9995  # cosine above which an arc is a line and the sine in its formula close to 0


def merge(
    method: MergeMethod, models: Sequence[Weights], base: Weights, density: float, seed: int
) -> dict[str, Tensor]:
    """One model of N.

    Args:
        method: see the head of this file.
        models: the tensors of each, of the same names and shapes; one alone comes back as it is.
        base: what they started from; of linear and slerp only its names count.
        density: ties and dare: share of the differences of a tensor that is kept, above 0, at most 1.
        seed: dare: decides which.

    Returns:
        Tensors of the base's names and shapes, float32.
    """
    if len(models) == 1:
        return dict(models[0])
    rng, found = torch.Generator().manual_seed(seed), {}
    for name in sorted(base):
        each = torch.stack([model[name].float() for model in models])
        if method == "linear":
            found[name] = each.mean(dim=0)
        elif method == "slerp":
            found[name] = slerp(each)
        else:
            start = base[name].float()
            changes = each - start
            found[name] = start + (ties(changes, density) if method == "ties" else dare(changes, density, rng))
    return found


def slerp(models: Tensor) -> Tensor:
    """(...) from (N, ...): from the first on, each is added along the arc that leads to it, at 1 / (models so far).

    The angle is that of the whole tensors. Where it is close to 0 or to half a turn, the way is a line.
    """
    mean = models[0]
    for number, model in enumerate(models[1:], start=2):
        lengths = mean.norm() * model.norm()
        cosine = ((mean * model).sum() / lengths if lengths > 0 else torch.ones(())).clamp(-1, 1)
        if cosine.abs() > LINE:
            mean = mean + (model - mean) / number
        else:
            angle, share = cosine.acos(), 1 / number
            mean = (torch.sin((1 - share) * angle) * mean + torch.sin(share * angle) * model) / angle.sin()
    return mean


def ties(changes: Tensor, density: float) -> Tensor:
    """(...) from (N, ...) differences to the base.

    Of each model the `density` of largest size stays. A number's sign is that of the sum over models, and the mean is
    taken over the models that have it.
    """
    trimmed = torch.stack([_largest(change, density) for change in changes])
    sign = torch.where(trimmed.sum(dim=0) >= 0, 1.0, -1.0)
    agree = trimmed.sign() == sign
    return (trimmed * agree).sum(dim=0) / agree.sum(dim=0).clamp(min=1)


def _largest(change: Tensor, density: float) -> Tensor:
    """The `density` of largest size of a tensor, at least one number; 0 elsewhere."""
    if density >= 1:
        return change
    kept = max(1, int(density * change.numel()))
    places = change.abs().flatten().argsort(descending=True, stable=True)[:kept]
    flat = torch.zeros_like(change).flatten()
    flat[places] = change.flatten()[places]
    return flat.reshape(change.shape)


def dare(changes: Tensor, density: float, rng: torch.Generator) -> Tensor:
    """(...) from (N, ...) differences to the base: each is kept by chance, divided by `density`, and the mean taken."""
    return (changes * torch.bernoulli(torch.full_like(changes, density), generator=rng) / density).mean(dim=0)


def check_shapes(weights: Weights, expected: Weights, where: str, other: str) -> None:
    """Raises UserError at the first tensor that is not in both or of another shape; `where` and `other` name them."""
    for name in sorted(weights.keys() | expected.keys()):
        found, wanted = (tuple(each[name].shape) if name in each else None for each in (weights, expected))
        if found != wanted:
            raise UserError(
                f"{where}: {name}: expected {_shape(wanted)} as {other} has it, found {_shape(found)}; merge models of "
                "one shape and one vocabulary"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "no such tensor" if shape is None else f"a tensor of shape {shape}"
