"""The pure core of kubenorn: nothing in this package knows of SSH or Nornir."""

import gc

# Python's collector looks at everything again after every 700 new ones. While the libraries are loaded (some 130,000)
# that takes an eighth of the time and finds nothing; a runbook ends long before rare looks cost memory that matters.
gc.set_threshold(200_000, 20, 50)
