"""Values in, values out: how a job undoes its steps."""
