"""The console: pages that show what the clocks do. It reads as any client would, and changes nothing."""
