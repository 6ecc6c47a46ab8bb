"""Tests of kubenorn.binaries: real files, real archives, a real web server."""
