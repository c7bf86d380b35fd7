"""What scenarios and the soak share: processes, ledgers, resources, the stage."""
