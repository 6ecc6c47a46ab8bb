"""X.509 and keys: authorities, certificates, and the folder on the controller that holds them."""
