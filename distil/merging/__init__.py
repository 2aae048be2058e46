"""Several models of one shape as one: methods.py on tensors, student_soup.py for the seeds of a fine-tuning."""
