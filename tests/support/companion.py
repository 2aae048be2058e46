"""What tests of a linear companion share."""

from distil.serving.companion_fit import Fitted
from distil.serving.linear_companion import LinearCompanion


def without_share(fitted: Fitted) -> Fitted:
    """The companion with a share of 0 in every language, so that it changes no probability."""
    bits, models, guesser = fitted.companion.bits, fitted.companion.languages, fitted.companion.guesser
    silent = {code: model._replace(share=0.0) for code, model in models.items()}
    return fitted._replace(companion=LinearCompanion(bits, silent, guesser))
