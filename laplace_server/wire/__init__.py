"""What server and clients both know; it imports neither."""
