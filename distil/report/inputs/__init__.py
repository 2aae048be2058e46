"""The files of earlier stages, as far as a report needs them, checked; formats: docs/internals/design.md."""
