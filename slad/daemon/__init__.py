"""The top floor: the composition root. Settings, sockets, systemd, signals, and the commands people type."""
