"""Tables, charts, HTML, Markdown and the model card."""
