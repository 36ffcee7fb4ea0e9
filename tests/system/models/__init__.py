"""Whole commands against a host: model folders and the options of a model."""
