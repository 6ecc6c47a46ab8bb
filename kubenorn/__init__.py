"""The pure core of kubenorn: nothing in this package knows of SSH or Nornir."""
