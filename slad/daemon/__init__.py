"""The top floor: the composition root. Settings, sockets, systemd, signals, logs."""
