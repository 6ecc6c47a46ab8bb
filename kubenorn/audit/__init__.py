"""The audit: what was collected on the hosts, judged. Knows nothing of SSH or Nornir, and changes nothing."""
