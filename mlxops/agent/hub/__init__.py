"""Downloads from the Hugging Face Hub."""
