"""The failover drill: what is broken, what is seen meanwhile, what it means. Knows nothing of SSH or Nornir."""
