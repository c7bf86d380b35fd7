"""What a recorder takes, beside the devices that it follows."""
