"""Values in, values out: installed programs."""
