"""Commands for several hosts, and the set-up of a new one."""
