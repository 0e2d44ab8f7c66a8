"""The command line: `main` puts it together, each command group has a module of its own."""
