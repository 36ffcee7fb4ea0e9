"""Host files: where they lie, who may write them, what they say."""
