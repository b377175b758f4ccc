"""What the node does when the power, the disk or its clients fail."""
