"""The registry: which model belongs to which port. Entries, the file, its lock, its copies."""
