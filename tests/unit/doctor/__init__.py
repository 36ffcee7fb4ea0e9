"""Values in, values out: the checks of `doctor`."""
