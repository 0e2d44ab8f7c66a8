"""Long trials: slad is killed, starved, lied to and simulated. CI runs a short form of each."""
