"""metrics/footprint.json and metrics/export.json, as far as a report needs them; see docs/internals/design.md."""

from distil.report.inputs.stage_file import StageFile


class Speed(StageFile):
    """Texts of one length: tokens a text, milliseconds a text one by one, tokens and texts a second in batches."""

    tokens: float
    milliseconds: float
    tokens_per_second: float
    texts_per_second: float


class ModelFootprint(StageFile):
    """Size, memory and speed of one model."""

    disk_bytes: int
    peak_memory_mib: float
    empty_memory_mib: float
    short: Speed
    long: Speed


class Footprint(StageFile):
    """metrics/footprint.json."""

    machine: str
    threads: int
    rounds: int
    batch_size: int
    words: dict[str, int]
    models: dict[str, ModelFootprint]


class ExportedLanguage(StageFile):
    """What 8 bits take from the weighted F1 of one exported model, a share; None of a masked LM."""

    weighted_f1_drop_int8: float | None = None


class ExportedModel(StageFile):
    """One exported model."""

    languages: dict[str, ExportedLanguage] = {}


class Export(StageFile):
    """metrics/export.json: the exported student, in float32 and in 8 bits; drops are shares.

    `tokens_per_second` is by number of threads, then by model.
    """

    fp32_bytes: int
    int8_bytes: int
    int8_folder_bytes: int | None = None
    tokens_per_second: dict[str, dict[str, float]] = {}
    models: dict[str, ExportedModel] = {}
    speedup_vs_teacher_fp32: float
    speedup_vs_teacher_fp32_all_threads: float | None = None
    max_abs_logit_diff_fp32: float
    weighted_f1_drop_int8: dict[str, float]
    serving_peak_mb: float

    def drops(self, task: str, languages: list[str]) -> dict[str, float]:
        """What 8 bits take from the weighted F1 of a task, by language, where it was measured."""
        found = {}
        for code in languages:
            for name in (task, f"{task}-{code}"):  # one model for all languages, or one for each
                own = self.models[name].languages.get(code) if name in self.models else None
                if own and own.weighted_f1_drop_int8 is not None:
                    found[code] = own.weighted_f1_drop_int8
        return found

    def slowed_by_threads(self) -> dict[str, tuple[float, float]]:
        """Tokens/s on the fewest and on the most threads of the models that were slower on the most."""
        counts = sorted(self.tokens_per_second, key=int)
        if len(counts) < 2:
            return {}
        few, many = self.tokens_per_second[counts[0]], self.tokens_per_second[counts[-1]]
        return {name: (few[name], many[name]) for name in few if name in many and many[name] < few[name]}
