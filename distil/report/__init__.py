"""Tables, charts, HTML, Markdown, the model card, and the MLflow run."""
