"""The suite of streams: one producer, and subscribers in processes of their own."""
