"""Values in, values out: what a job takes back."""
