"""The relay to NATS JetStream, measured."""
