"""Where a control plane's binaries come from, on the controller: found, verified, unpacked, compressed."""
