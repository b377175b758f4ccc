"""What the edges share: connections, their factories, who is at the other end."""
