"""How long runbooks take on a lab that is up; nothing is judged."""
