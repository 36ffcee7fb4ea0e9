"""How model families write: chat templates, and the marks around tool calls and reasoning."""
