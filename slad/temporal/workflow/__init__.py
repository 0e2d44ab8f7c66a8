"""What runs in the Temporal worker: the workflow of a ticket, its documents on the wire, its activities."""
