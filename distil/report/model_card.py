"""The student's model card: YAML metadata as the Hugging Face Hub reads it, then what the model is and is not.

Written to metrics/model_card.md, since models/student was written by the stage distil, before any scoring; it replaces
README.md when the model is published.
"""

from huggingface_hub import EvalResult, ModelCardData
from pydantic import Field

from distil.core.params import Params
from distil.report.data import Report, language_name
from distil.report.findings import notices, verdict
from distil.report.format import percent, short
from distil.report.markdown import escape, markdown_table
from distil.report.summary import provenance, summary_lines, title
from distil.report.tables.models import footprint_table, size_table
from distil.report.tables.scores import distance_table, score_table
from distil.report.tables.training import heldout_table
from distil.student.card import card_data, front_matter, limits, snippet


class CardConfig(Params):
    """Section `card:` of params.yaml."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)
    license: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")


def render_card(report: Report, config: CardConfig) -> str:
    """The card: metadata between lines of `---`, then Markdown."""
    by_task = [table(report, task) for task in report.tasks for table in (distance_table, score_table)]
    tables = [*by_task, size_table(report), footprint_table(report.footprint), heldout_table(report)]
    shown = "\n\n".join("\n".join(markdown_table(table)) for table in tables)
    listed = "\n".join(f"- {escape(notice.text)}" for notice in notices(report))
    return f"""{front_matter(_data(report, config))}
# {escape(title(report))}

{escape(provenance(report))}

**{escape(verdict(report))}**

{" ".join(escape(line) for line in summary_lines(report))}

{listed}

## Use

A masked language model of the XLM-R architecture; fine-tune it as you would any other. From the folder in which it
was trained:

```python
{snippet(report.summary.experts is not None)}```

## Results

Scores are of copies fine-tuned on each task, not of the model as it is; brackets hold 95 % intervals.

{shown}

## How it was trained

Distilled from the teacher's distributions over masked pieces and from its attention maps, computed once and kept:
{_recipe(report)}. Teacher and student read the same {report.tokenizer.pieces:,} pieces of the teacher's
{report.tokenizer.teacher_pieces:,}{_extended(report)}.

## Limits and biases

{limits(report.languages)}- Rows of the test sets that are also in their training sets are counted in the report,
  with scores without them.
- {_licence(config)}
"""


def _extended(report: Report) -> str:
    added = sum(new.pieces for new in report.teacher.new_pieces.values())
    return f", {added:,} of which were added to its tokenizer here" if added else ""


def _licence(config: CardConfig) -> str:
    if config.license == "unknown":
        return (
            "The licence is not settled: it follows from those of the teacher and of the text. Set `card.license` "
            "before you publish the model."
        )
    return f"Licence, as set in `card.license`: {config.license}."


def _data(report: Report, config: CardConfig) -> ModelCardData:
    """What the Hub reads: languages, licence and the results language by language."""
    teacher = {"source": report.teacher.source, "id": report.teacher.id}
    return card_data(
        report.languages,
        teacher,
        datasets=[report.params["corpus"]["dataset"]] if report.corpus.source == "hub" else None,
        license=config.license,
        metrics=["f1", "accuracy"],
        model_name=config.name,
        eval_results=_results(report),
    )


def _results(report: Report) -> list[EvalResult]:
    """The scores of each task and language, from 0 to 1 as the Hub wants them."""
    results = []
    for task in report.tasks:
        scores = report.scores[task]["student"]
        for code in report.languages:
            each = scores.languages[code]
            figures = {"Weighted F1": each.weighted_f1, "Macro F1": each.macro_f1, "Accuracy": each.accuracy}
            if each.entity_f1 is not None:
                figures = {"Entity F1": each.entity_f1} | figures
            results += [
                EvalResult(
                    task_type=scores.kind.replace("_", "-"),
                    task_name=task,
                    dataset_type=task,
                    dataset_name=f"{task}, {language_name(code)}",
                    dataset_config=code,
                    dataset_split="test",
                    metric_type="accuracy" if name == "Accuracy" else "f1",
                    metric_name=name,
                    metric_value=round(value, 4),
                )
                for name, value in figures.items()
            ]
    return results


def _recipe(report: Report) -> str:
    summary, loss = report.summary, report.params["loss"]
    return (
        f"{short(summary.tokens)} tokens in {summary.steps:,} steps, alpha {loss['alpha']}, temperature "
        f"{loss['temperature']}, {percent(report.params['tokenize']['mask_rate'], 0)} of the tokens masked"
    )
