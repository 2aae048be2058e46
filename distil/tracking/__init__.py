"""The MLflow run of a student: read run.py first."""
