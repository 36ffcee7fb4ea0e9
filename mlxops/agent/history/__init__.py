"""What changed on this host, from the registry's history, the jobs and samples of memory."""
