"""Values in, values out: model folders and the options of a model."""
