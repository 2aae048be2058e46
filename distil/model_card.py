"""The student's model card: YAML metadata as the Hugging Face Hub reads it, then what the model is and is not.

The card lies in metrics/model_card.md, since models/student is what another stage wrote; copy it to README.md in that
folder to publish the model.
"""

from typing import Any

import yaml

from distil.report import Report
from distil.report_format import names, percent, short
from distil.report_tables import heldout_table, score_table, size_table
from distil.report_text import escape, findings, lede, markdown_table, origin, title

SNIPPET = """from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

path = "models/student"  # or the id under which you published it
tokenizer = AutoTokenizer.from_pretrained(path)
model = AutoModelForMaskedLM.from_pretrained(path)
fill = pipeline("fill-mask", model=model, tokenizer=tokenizer)
for guess in fill(f"{tokenizer.mask_token} .", top_k=3):
    print(f"{guess['score']:.3f}  {guess['token_str']}")
"""


def render_card(report: Report) -> str:
    """The card: metadata between lines of `---`, then Markdown."""
    meta = yaml.safe_dump(metadata(report), sort_keys=False, allow_unicode=True, width=120)
    tables = [size_table(report), *(score_table(report, task) for task in report.tasks), heldout_table(report)]
    shown = "\n\n".join("\n".join(markdown_table(table)) for table in tables)
    notices = "\n".join(f"- {escape(finding.text)}" for finding in findings(report))
    return f"""---
{meta}---

# {escape(title(report))}

{escape(origin(report))}

{" ".join(escape(line) for line in lede(report))}

{notices}

## Use

A masked language model of the XLM-R architecture; fine-tune it as you would any other. From the folder in which it
was trained:

```python
{SNIPPET}```

## Results

Scores are of copies fine-tuned on each task, not of the model as it is; brackets hold 95 % intervals.

{shown}

## How it was trained

Distilled from the teacher's distributions over masked pieces and from its attention maps, computed once and kept:
{_recipe(report)}. Teacher and student read the same {report.tokenizer.pieces:,} pieces of the teacher's
{report.tokenizer.teacher_pieces:,}.

## Limits and biases

- Made for {names(report.languages)} and measured in no other language. Variants, dialects and spellings that are
  rare in its text are served worse, and these figures do not show by how much.
- It learned from its teacher, so it repeats the teacher's stereotypes and errors; a smaller model often loses rare
  words, names and minority groups first. Nothing was done against that.
- Nobody has examined it for fairness, toxicity or private data in its text. Do not decide about people with it.
- It guesses masked pieces. It holds no reliable facts and is not made to generate text.
- Overlaps between splits are listed in the report; a score on rows that were seen in training is too high.
- The licence is not known to the program that wrote this card: it follows from the licences of the teacher and of
  the text, and whoever publishes the model has to settle it.
"""


def metadata(report: Report) -> dict[str, Any]:
    """What the Hub reads: languages, licence, origin, and the results language by language."""
    meta: dict[str, Any] = {
        "language": list(report.languages),
        "license": "unknown",
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["knowledge-distillation", "masked-language-modeling", "xlm-roberta"],
        "metrics": ["f1", "accuracy"],
    }
    if report.teacher.source == "hub":
        meta["base_model"] = report.teacher.id
    if report.corpus.source == "hub":
        meta["datasets"] = [report.params["corpus"]["dataset"]]
    meta["model-index"] = [{"name": "student", "results": _results(report)}]
    return meta


def _results(report: Report) -> list[dict[str, Any]]:
    """An entry for each task and language; scores from 0 to 1 as the Hub wants them."""
    results = []
    for task in report.tasks:
        scores = report.scores[task]["student"]
        for code in report.languages:
            each = scores.languages[code]
            figures = {"weighted_f1": each.weighted_f1, "macro_f1": each.macro_f1, "accuracy": each.accuracy}
            results.append({
                "task": {"type": scores.kind.replace("_", "-"), "name": task},
                "dataset": {"type": task, "name": f"{task}, {names([code])}", "config": code, "split": "test"},
                "metrics": [
                    {"type": "accuracy" if name == "accuracy" else "f1", "name": name.replace("_f1", " F1"),
                     "value": round(value, 4)} for name, value in figures.items()
                ],
            })  # fmt: skip
    return results


def _recipe(report: Report) -> str:
    summary, loss = report.summary, report.params["loss"]
    return (
        f"{short(summary.tokens)} tokens in {summary.steps:,} steps, alpha {loss['alpha']}, temperature "
        f"{loss['temperature']}, {percent(report.params['tokenize']['mask_rate'], 0)} of the tokens masked"
    )
