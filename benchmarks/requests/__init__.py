"""The suite of requests: reads and commands of one to 512 clients, and what a server costs."""
